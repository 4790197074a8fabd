//! The normalised key of a statement.
