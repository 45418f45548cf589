//! What a request asks an engine for; the name under which it is counted.

/// An operation of the served surface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each variant is the path segment or route of the same name")]
pub enum Operation {
    Root,
    Health,
    Version,
    Status,
    Tags,
    Ps,
    Show,
    Generate,
    Chat,
    Embed,
    Embeddings,
    Pull,
    Push,
    Create,
    Copy,
    Delete,
    BlobHead,
    BlobPost,
    V1Models,
    V1Model,
    V1Chat,
    V1Completions,
    V1Embeddings,
    V1Responses,
    V1Messages,
    V1Transcriptions,
    Echo,
    /// Anything the engine has no route for.
    Unknown,
}

impl Operation {
    /// The name used in statistics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Health => "health",
            Self::Version => "version",
            Self::Status => "status",
            Self::Tags => "tags",
            Self::Ps => "ps",
            Self::Show => "show",
            Self::Generate => "generate",
            Self::Chat => "chat",
            Self::Embed => "embed",
            Self::Embeddings => "embeddings",
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Create => "create",
            Self::Copy => "copy",
            Self::Delete => "delete",
            Self::BlobHead => "blob_head",
            Self::BlobPost => "blob_post",
            Self::V1Models => "v1_models",
            Self::V1Model => "v1_model",
            Self::V1Chat => "v1_chat",
            Self::V1Completions => "v1_completions",
            Self::V1Embeddings => "v1_embeddings",
            Self::V1Responses => "v1_responses",
            Self::V1Messages => "v1_messages",
            Self::V1Transcriptions => "v1_transcriptions",
            Self::Echo => "echo",
            Self::Unknown => "unknown",
        }
    }

    /// Whether it makes a model work. The totals of [`Stats`](super::Stats) count these.
    pub fn is_inference(self) -> bool {
        matches!(
            self,
            Self::Generate
                | Self::Chat
                | Self::Embed
                | Self::Embeddings
                | Self::V1Chat
                | Self::V1Completions
                | Self::V1Embeddings
                | Self::V1Responses
                | Self::V1Messages
                | Self::V1Transcriptions
        )
    }
}
