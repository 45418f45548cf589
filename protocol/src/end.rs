//! How requests of clients end: each in exactly one of these ways.

/// The end of a client's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client has a whole answer, which is no error.
    Complete,
    /// It was told of an error, by status or by the last frame of a stream; or its connection was cut.
    Error,
    /// It went away.
    Cancelled,
    /// It was not let in: no such path or frontend, a rule of the frontend about heads, or its virtual key.
    Refused,
}

// === impl End ===

impl End {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Complete, Self::Error, Self::Cancelled, Self::Refused];

    /// The value of the metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Error => "error",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
        }
    }
}
