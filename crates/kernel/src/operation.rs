//! One thing asked of one resource. One request yields one or more operations, and each is judged.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::facts::Facts;
use crate::resource::Resource;

/// The groups of the taxonomy that crosses protocols, so that one policy covers SQL, Kubernetes, SSH and MCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ActionGroup {
    /// Looks at data.
    Read,
    /// Adds or changes data.
    Write,
    /// Removes data row by row.
    Delete,
    /// Changes a schema or a configuration.
    Define,
    /// Removes data or structure wholesale: DROP, TRUNCATE.
    Destroy,
    /// Runs code: functions, procedures, blocks.
    Execute,
    /// Looks at secrets.
    Reveal,
    /// Changes who may do what.
    Grant,
    /// Opens and steers a session.
    Connect,
    /// Runs the server itself.
    Administer,
}

impl ActionGroup {
    /// Every group.
    pub const ALL: [Self; 10] = [
        Self::Read,
        Self::Write,
        Self::Delete,
        Self::Define,
        Self::Destroy,
        Self::Execute,
        Self::Reveal,
        Self::Grant,
        Self::Connect,
        Self::Administer,
    ];

    /// The Cedar action id of the group.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Delete => "delete",
            Self::Define => "define",
            Self::Destroy => "destroy",
            Self::Execute => "execute",
            Self::Reveal => "reveal",
            Self::Grant => "grant",
            Self::Connect => "connect",
            Self::Administer => "administer",
        }
    }
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $text:literal in $group:ident;)*) => {
        /// What is asked. Each protocol's own actions are members of the groups.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Action {
            $($(#[$doc])* $name,)*
        }

        impl Action {
            /// Every action.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The Cedar action id, such as `sql:update`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The action of a Cedar action id.
            pub fn named(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|action| action.as_str() == text)
            }

            /// The group that it is a member of.
            pub const fn group(self) -> ActionGroup {
                match self { $(Self::$name => ActionGroup::$group,)* }
            }
        }
    };
}

actions! {
    /// Opening a session to an upstream, whatever the protocol.
    Connect = "connect:session" in Connect;
    /// BEGIN, SAVEPOINT and their kin.
    SqlTransaction = "sql:transaction" in Connect;
    /// COMMIT and ROLLBACK. Never refused to a workload in good standing: a transaction that cannot be ended keeps its locks.
    SqlEnd = "sql:end" in Connect;
    /// SET, RESET, SHOW and DISCARD of settings that are safe to change.
    SqlSet = "sql:set" in Connect;
    /// A relation or a column is read, and its values may leave.
    SqlSelect = "sql:select" in Read;
    /// A column decides which rows exist, or their order, so that it can be learnt without being read.
    SqlInfer = "sql:infer" in Read;
    /// INSERT, COPY FROM STDIN, and the insert of a MERGE.
    SqlInsert = "sql:insert" in Write;
    /// UPDATE, ON CONFLICT DO UPDATE, and the update of a MERGE.
    SqlUpdate = "sql:update" in Write;
    /// LOCK TABLE and the row locks of SELECT … FOR UPDATE.
    SqlLock = "sql:lock" in Write;
    /// NOTIFY: a message to other sessions.
    SqlNotify = "sql:notify" in Write;
    /// LISTEN, UNLISTEN.
    SqlListen = "sql:listen" in Read;
    /// DELETE, and the delete of a MERGE.
    SqlDelete = "sql:delete" in Delete;
    /// CREATE of anything that runs no code of its own.
    SqlCreate = "sql:create" in Define;
    /// ALTER, COMMENT, SECURITY LABEL.
    SqlAlter = "sql:alter" in Define;
    /// VACUUM, ANALYZE, REINDEX, CLUSTER, REFRESH MATERIALIZED VIEW.
    SqlMaintain = "sql:maintain" in Define;
    /// DROP of anything.
    SqlDrop = "sql:drop" in Destroy;
    /// TRUNCATE.
    SqlTruncate = "sql:truncate" in Destroy;
    /// A function or procedure that policy must know by name, because it can do more than compute.
    SqlCall = "sql:call" in Execute;
    /// DO, and CREATE FUNCTION, TRIGGER, RULE, EXTENSION: code that runs now or later.
    SqlCode = "sql:code" in Execute;
    /// GRANT, REVOKE, roles, policies, default privileges, ownership.
    SqlGrant = "sql:grant" in Grant;
    /// ALTER SYSTEM, LOAD, CHECKPOINT, COPY with a server file or program, tablespaces, subscriptions.
    SqlAdminister = "sql:administer" in Administer;
    /// A GET request to an endpoint whose configuration names no other group.
    HttpGet = "http:GET" in Read;
    /// A HEAD request.
    HttpHead = "http:HEAD" in Read;
    /// An OPTIONS request.
    HttpOptions = "http:OPTIONS" in Read;
    /// A POST request to an endpoint whose configuration names no other group.
    HttpPost = "http:POST" in Write;
    /// A PUT request.
    HttpPut = "http:PUT" in Write;
    /// A PATCH request.
    HttpPatch = "http:PATCH" in Write;
    /// A DELETE request.
    HttpDelete = "http:DELETE" in Delete;
    /// A request, by any method, that its endpoint's configuration counts as a definition.
    HttpDefine = "http:define" in Define;
    /// A request that removes things wholesale, by its endpoint's configuration.
    HttpDestroy = "http:destroy" in Destroy;
    /// A request that runs something, by its endpoint's configuration.
    HttpExecute = "http:execute" in Execute;
    /// A request that answers with a secret: by its endpoint's configuration, or because the upstream is a secret store.
    HttpReveal = "http:reveal" in Reveal;
    /// A request that changes who may do what, by its endpoint's configuration.
    HttpGrant = "http:grant" in Grant;
    /// A request that runs the service itself, by its endpoint's configuration.
    HttpAdminister = "http:administer" in Administer;
    /// A field of a response, which carries a class, would leave.
    HttpField = "http:field" in Read;
    /// A tunnel to a host: CONNECT through the egress gateway.
    HttpTunnel = "http:tunnel" in Connect;
    /// A field that a GraphQL query selects.
    GraphqlQuery = "graphql:query" in Read;
    /// A field that a GraphQL subscription selects.
    GraphqlSubscribe = "graphql:subscribe" in Read;
    /// A field that a GraphQL mutation selects at its top: what it changes.
    GraphqlMutate = "graphql:mutate" in Write;
}

impl Action {
    /// The action of a request's method, for an endpoint whose configuration names no group. None for a method that is not
    /// let through: TRACE, CONNECT, and whatever is unknown. Methods are case-sensitive (RFC 9110, section 9.1).
    pub fn of_http_method(method: &str) -> Option<Self> {
        Some(match method {
            "GET" => Self::HttpGet,
            "HEAD" => Self::HttpHead,
            "OPTIONS" => Self::HttpOptions,
            "POST" => Self::HttpPost,
            "PUT" => Self::HttpPut,
            "PATCH" => Self::HttpPatch,
            "DELETE" => Self::HttpDelete,
            _ => return None,
        })
    }

    /// The action of a request to an endpoint that its configuration puts into `group`. None where the method is not let
    /// through, or where the group has no action of HTTP (`connect`).
    pub fn of_http_endpoint(method: &str, group: Option<ActionGroup>) -> Option<Self> {
        let plain = Self::of_http_method(method)?;
        Some(match group {
            None => plain,
            Some(group) if group == plain.group() => plain,
            Some(ActionGroup::Read) => Self::HttpGet,
            Some(ActionGroup::Write) => Self::HttpPost,
            Some(ActionGroup::Delete) => Self::HttpDelete,
            Some(ActionGroup::Define) => Self::HttpDefine,
            Some(ActionGroup::Destroy) => Self::HttpDestroy,
            Some(ActionGroup::Execute) => Self::HttpExecute,
            Some(ActionGroup::Reveal) => Self::HttpReveal,
            Some(ActionGroup::Grant) => Self::HttpGrant,
            Some(ActionGroup::Administer) => Self::HttpAdminister,
            Some(ActionGroup::Connect) => return None,
        })
    }

    /// Is it one of HTTP's or GraphQL's?
    pub const fn is_http(self) -> bool {
        matches!(
            self,
            Self::HttpGet
                | Self::HttpHead
                | Self::HttpOptions
                | Self::HttpPost
                | Self::HttpPut
                | Self::HttpPatch
                | Self::HttpDelete
                | Self::HttpDefine
                | Self::HttpDestroy
                | Self::HttpExecute
                | Self::HttpReveal
                | Self::HttpGrant
                | Self::HttpAdminister
                | Self::HttpField
                | Self::HttpTunnel
                | Self::GraphqlQuery
                | Self::GraphqlSubscribe
                | Self::GraphqlMutate
        )
    }

    /// Does it let a single value of a response leave, which a mask could replace?
    pub const fn reads_a_value(self) -> bool {
        matches!(self, Self::SqlSelect | Self::SqlInfer | Self::HttpField | Self::GraphqlQuery | Self::GraphqlSubscribe)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Action {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One thing asked of one resource, with what the protocol module found out about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Operation {
    /// What is asked.
    pub action: Action,
    /// Of what.
    pub resource: Arc<Resource>,
    /// What else is known. Operations of one statement share their facts.
    pub facts: Arc<Facts>,
    /// The verb for people, such as `DROP TABLE`. Never taken from the client's text.
    pub verb: &'static str,
    /// Byte offsets of the offending part in the client's own text.
    pub span: Option<(u32, u32)>,
}
