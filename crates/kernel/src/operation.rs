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
