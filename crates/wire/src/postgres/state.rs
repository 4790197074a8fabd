//! Which of the upstream's messages answers which of the client's: replies are matched by position.
//!
//! Whoever forwards a message that is due an answer pushes an entry first; each message of the upstream's is then shown
//! to [`Replies::on_backend`], which says whose it is, or that it is out of state, and then the session must be cut
//! (PW21). It looks at tags, and into a body only of errors and `ReadyForQuery`, so a row costs a few nanoseconds.
//!
//! An error in the extended protocol makes PostgreSQL skip everything up to the next Sync; the entries of what it skipped
//! come back with that Sync's `ReadyForQuery`. An entry pushed with [`Answer::Refusal`] stands for the refusal probe: an
//! error is due there and nothing else. Source: PostgreSQL documentation, §55.2 "Message Flow".

use std::collections::VecDeque;

use crate::postgres::message::{DecodeError, ErrorFields, ReadyForQuery, TransactionStatus};

/// The most entries that may be waiting.
pub const MAX_WAITING: usize = 65_536;

/// The client's message that an answer is due to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Query: any number of results, then `ReadyForQuery`.
    Query,
    /// Parse: `ParseComplete`.
    Parse,
    /// Bind: `BindComplete`.
    Bind,
    /// Describe of a statement: `ParameterDescription`, then `RowDescription` or `NoData`.
    DescribeStatement,
    /// Describe of a portal: `RowDescription` or `NoData`.
    DescribePortal,
    /// Execute: rows or a COPY, then `CommandComplete`, `EmptyQueryResponse` or `PortalSuspended`.
    Execute,
    /// Close: `CloseComplete`.
    Close,
    /// Sync: `ReadyForQuery`.
    Sync,
}

/// What kind of answer is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The upstream's own, an error included.
    Upstream,
    /// An error, provoked by the refusal probe, to be replaced by the refusal.
    Refusal,
}

/// Why a message must not be forwarded now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotNow {
    /// [`MAX_WAITING`] answers are due already.
    #[error("too many requests wait for an answer")]
    Full,
    /// The upstream waits for COPY data. It ignores Sync and Flush now, so they are not forwarded; anything else is the
    /// client's error.
    #[error("the upstream waits for copy data")]
    CopyIn,
    /// The refusal probe was sent in this unit: nothing more is forwarded until the client's Sync.
    #[error("a statement of this unit was refused")]
    Refused,
}

/// The upstream broke the protocol: cut the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutOfState {
    /// No message of this type can come here.
    #[error("the upstream sent a message of type {tag:#04x} out of state")]
    Unexpected {
        /// Its tag.
        tag: u8,
    },
    /// The refusal probe did not fail.
    #[error("the upstream sent a message of type {tag:#04x} where an error was due")]
    NoError {
        /// Its tag.
        tag: u8,
    },
    /// COPY begins while later messages have been forwarded already: which of them the upstream will ignore cannot be
    /// known. Forward nothing behind a statement that may be `COPY … FROM STDIN` until its answer has begun.
    #[error("copy data is asked for while later messages are on their way")]
    CopyInBehind,
    /// The message has a wrong layout.
    #[error("the upstream sent a malformed message: {0}")]
    Malformed(#[from] DecodeError),
}

/// Whose a message of the upstream's is.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply<'q, T> {
    /// No one's: `NoticeResponse`, `ParameterStatus`, `NotificationResponse`.
    Aside,
    /// Part of an answer that goes on.
    Part(&'q mut T),
    /// The last message of an answer that is complete.
    Done(T),
    /// The upstream's own error. What it ends is told by the `ReadyForQuery` that follows.
    Error(&'q mut T),
    /// The error that the refusal probe provoked: replace it.
    Refused(&'q mut T),
    /// An error at severity FATAL or PANIC, also where none was asked for: pass it on; the session is over.
    Fatal,
    /// `ReadyForQuery`.
    Ready {
        /// The Query or Sync it answers.
        of: T,
        /// The transaction status.
        status: TransactionStatus,
        /// What an error left undone in this unit: the entry that failed, then those that the upstream skipped.
        undone: Vec<T>,
    },
}

/// How far the answer to an entry has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing has come.
    Begin,
    /// Describe of a statement: the parameters have come.
    Parameters,
    /// Rows may come.
    Rows,
    /// Query: at least one statement is complete.
    Between,
    /// The upstream waits for COPY data.
    CopyIn,
    /// The client has ended its COPY data.
    CopyInEnded,
    /// The upstream sends COPY data.
    CopyOut,
    /// The upstream has ended its COPY data.
    CopyOutEnded,
    /// An error has come; `ReadyForQuery` is due.
    Failed,
}

/// What a message does to the entry it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    To(Stage),
    Done,
    Ready,
}

#[derive(Debug)]
struct Entry<T> {
    asked: Asked,
    answer: Answer,
    stage: Stage,
    of: T,
}

/// The answers that the upstream owes, oldest first. `T` says what each belongs to.
#[derive(Debug)]
pub struct Replies<T> {
    waiting: VecDeque<Entry<T>>,
    status: TransactionStatus,
    unit: Unit,
}

/// What was forwarded since the last Sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Empty,
    Begun,
    Refused,
}

impl<T> Default for Replies<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Replies<T> {
    /// For a session that has just become ready: nothing is due, no transaction is open.
    pub const fn new() -> Self {
        Self { waiting: VecDeque::new(), status: TransactionStatus::Idle, unit: Unit::Empty }
    }

    /// Notes that an answer will be due. Call it before forwarding, and forward only if it succeeds.
    ///
    /// # Errors
    /// [`NotNow`] says why the message must not be forwarded.
    pub fn push(&mut self, asked: Asked, answer: Answer, of: T) -> Result<(), NotNow> {
        if self.waiting.len() >= MAX_WAITING {
            return Err(NotNow::Full);
        }
        if self.copy_in() {
            return Err(NotNow::CopyIn);
        }
        if self.unit == Unit::Refused && asked != Asked::Sync {
            return Err(NotNow::Refused);
        }
        self.unit = match (asked, answer) {
            (Asked::Sync, _) => Unit::Empty,
            // A Query inside a unit is skipped with it if the unit has failed, so it does not end one.
            (Asked::Query, _) => self.unit,
            (_, Answer::Refusal) => Unit::Refused,
            (_, Answer::Upstream) => Unit::Begun,
        };
        self.waiting.push_back(Entry { asked, answer, stage: Stage::Begin, of });
        Ok(())
    }

    /// How many answers are due.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// What the oldest answer belongs to, to put something else in its place.
    pub fn oldest_mut(&mut self) -> Option<&mut T> {
        self.waiting.front_mut().map(|entry| &mut entry.of)
    }

    /// What the oldest answer due belongs to.
    pub fn oldest(&self) -> Option<&T> {
        self.waiting.front().map(|entry| &entry.of)
    }

    /// The status of the last `ReadyForQuery`.
    pub const fn status(&self) -> TransactionStatus {
        self.status
    }

    /// Whether the upstream has, or may have, a transaction open: by its last status, or because something is on its way,
    /// or because something was forwarded since the last Sync. A refusal must then be sent as the probe; otherwise it is
    /// answered without the upstream.
    pub fn may_be_open(&self) -> bool {
        self.status != TransactionStatus::Idle || !self.waiting.is_empty() || self.unit != Unit::Empty
    }

    /// Whether the upstream waits for COPY data: only then may `CopyData`, `CopyDone` and `CopyFail` be forwarded.
    pub fn copy_in(&self) -> bool {
        self.waiting.front().is_some_and(|entry| entry.stage == Stage::CopyIn)
    }

    /// Notes that `CopyDone` or `CopyFail` is forwarded. With [`Answer::Refusal`], a `CopyFail` stands for a refusal: the
    /// error that it provokes is replaced.
    ///
    /// # Errors
    /// [`NotNow::CopyIn`] if the upstream does not wait for COPY data: then it must not be forwarded.
    pub fn end_copy_in(&mut self, answer: Answer) -> Result<(), NotNow> {
        match self.waiting.front_mut() {
            Some(entry) if entry.stage == Stage::CopyIn => {
                entry.stage = Stage::CopyInEnded;
                entry.answer = answer;
                if (entry.asked, answer) == (Asked::Execute, Answer::Refusal) {
                    self.unit = Unit::Refused;
                }
                Ok(())
            }
            _ => Err(NotNow::CopyIn),
        }
    }

    /// Takes a message of the upstream's, after login.
    ///
    /// # Errors
    /// [`OutOfState`]: the session must be cut, and the message not passed on.
    #[inline]
    pub fn on_backend(&mut self, tag: u8, body: &[u8]) -> Result<Reply<'_, T>, OutOfState> {
        if tag == b'D'
            && self.waiting.front().is_some_and(|entry| entry.stage == Stage::Rows && entry.answer == Answer::Upstream)
        {
            return self.front(tag).map(|entry| Reply::Part(&mut entry.of));
        }
        self.on_other(tag, body)
    }

    fn front(&mut self, tag: u8) -> Result<&mut Entry<T>, OutOfState> {
        self.waiting.front_mut().ok_or(OutOfState::Unexpected { tag })
    }

    fn on_other(&mut self, tag: u8, body: &[u8]) -> Result<Reply<'_, T>, OutOfState> {
        match tag {
            b'N' | b'S' | b'A' => return Ok(Reply::Aside),
            b'E' => return self.on_error(body),
            _ => {}
        }
        let behind = self.waiting.len() > 1;
        let entry = self.front(tag)?;
        if entry.answer == Answer::Refusal && entry.stage != Stage::Failed {
            return Err(OutOfState::NoError { tag });
        }
        let Some(step) = step(entry.asked, entry.stage, tag) else {
            return Err(OutOfState::Unexpected { tag });
        };
        match step {
            Step::To(Stage::CopyIn) if behind => Err(OutOfState::CopyInBehind),
            Step::To(stage) => {
                entry.stage = stage;
                self.front(tag).map(|entry| Reply::Part(&mut entry.of))
            }
            Step::Done => match self.waiting.pop_front() {
                Some(entry) => Ok(Reply::Done(entry.of)),
                None => Err(OutOfState::Unexpected { tag }),
            },
            Step::Ready => self.on_ready(body),
        }
    }

    fn on_error(&mut self, body: &[u8]) -> Result<Reply<'_, T>, OutOfState> {
        if ErrorFields::decode(body)?.ends_session() {
            return Ok(Reply::Fatal);
        }
        let entry = self.front(b'E')?;
        if entry.stage == Stage::Failed {
            return Err(OutOfState::Unexpected { tag: b'E' });
        }
        entry.stage = Stage::Failed;
        Ok(match entry.answer {
            Answer::Upstream => Reply::Error(&mut entry.of),
            Answer::Refusal => Reply::Refused(&mut entry.of),
        })
    }

    fn on_ready(&mut self, body: &[u8]) -> Result<Reply<'_, T>, OutOfState> {
        let status = ReadyForQuery::decode(body)?.status;
        let mut undone = Vec::new();
        while let Some(entry) = self.waiting.pop_front() {
            // An error in a Query ends with its own ReadyForQuery. Behind a failed message of the extended protocol a
            // Query is skipped like all else: only Sync ends the skipping.
            let own = entry.asked == Asked::Query && undone.is_empty();
            if own || entry.asked == Asked::Sync {
                self.status = status;
                return Ok(Reply::Ready { of: entry.of, status, undone });
            }
            undone.push(entry.of);
        }
        Err(OutOfState::Unexpected { tag: b'Z' })
    }
}

/// The protocol's table: what may follow, by what was asked and how far its answer has come.
fn step(asked: Asked, stage: Stage, tag: u8) -> Option<Step> {
    use Stage::{Begin, Between, CopyIn, CopyInEnded, CopyOut, CopyOutEnded, Failed, Parameters, Rows};
    let next = match (asked, stage, tag) {
        (_, Failed, b'Z') | (Asked::Sync, Begin, b'Z') | (Asked::Query, Between, b'Z') => Step::Ready,

        (Asked::Query, Begin | Between, b'T') => Step::To(Rows),
        (Asked::Query, Begin | Between | Rows, b'C') => Step::To(Between),
        (Asked::Query, Begin, b'I') => Step::To(Between),
        (Asked::Query, Begin | Between, b'G') | (Asked::Execute, Begin, b'G') => Step::To(CopyIn),
        (Asked::Query, Begin | Between, b'H') | (Asked::Execute, Begin, b'H') => Step::To(CopyOut),
        (Asked::Query | Asked::Execute, CopyOut, b'd') => Step::To(CopyOut),
        (Asked::Query | Asked::Execute, CopyOut, b'c') => Step::To(CopyOutEnded),
        (Asked::Query, CopyInEnded | CopyOutEnded, b'C') => Step::To(Between),

        (Asked::Query, Rows, b'D') | (Asked::Execute, Begin | Rows, b'D') => Step::To(Rows),
        (Asked::Execute, Begin | Rows, b'C' | b's') | (Asked::Execute, Begin, b'I') => Step::Done,
        (Asked::Execute, CopyInEnded | CopyOutEnded, b'C') => Step::Done,

        (Asked::Parse, Begin, b'1') | (Asked::Bind, Begin, b'2') | (Asked::Close, Begin, b'3') => Step::Done,
        (Asked::DescribeStatement, Begin, b't') => Step::To(Parameters),
        (Asked::DescribeStatement, Parameters, b'T' | b'n') | (Asked::DescribePortal, Begin, b'T' | b'n') => Step::Done,
        _ => return None,
    };
    Some(next)
}

#[cfg(test)]
mod tests;
