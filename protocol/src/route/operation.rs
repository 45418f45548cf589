//! What requests ask for, and what follows from that alone: API, permission, names, the path at a backend.

use crate::object::ApiFormat;

/// What a request asks a backend to do. The name follows the API that defines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `POST /api/generate`
    OllamaGenerate,
    /// `POST /api/chat` and its alias `POST /api/chat/generate`
    OllamaChat,
    /// `POST /api/embed`
    OllamaEmbed,
    /// `POST /api/embeddings`, the legacy single embedding
    OllamaEmbeddings,
    /// `GET /api/tags`
    OllamaTags,
    /// `GET /api/ps`
    OllamaPs,
    /// `POST /api/show`
    OllamaShow,
    /// `POST /api/pull`
    OllamaPull,
    /// `POST /api/push`
    OllamaPush,
    /// `POST /api/create`
    OllamaCreate,
    /// `POST /api/copy`
    OllamaCopy,
    /// `DELETE /api/delete`
    OllamaDelete,
    /// `HEAD` or `POST /api/blobs/:digest`
    OllamaBlob,
    /// `GET /api/version`
    OllamaVersion,
    /// Any other path below `/api/`
    OllamaOther,
    /// `POST /v1/chat/completions`
    OpenAiChat,
    /// `POST /v1/completions`
    OpenAiCompletion,
    /// `POST /v1/embeddings`
    OpenAiEmbeddings,
    /// `GET /v1/models`
    OpenAiModels,
    /// `GET /v1/models/:id`
    OpenAiModel,
    /// `POST /v1/responses`
    OpenAiResponses,
    /// `POST /v1/messages`, Anthropic's API, which Ollama serves below `/v1`
    AnthropicMessages,
    /// `POST /v1/messages/count_tokens`, which is answered by an estimate of ours
    AnthropicCountTokens,
    /// `POST /v1/audio/transcriptions`
    OpenAiTranscription,
    /// Any other path below `/v1/`
    OpenAiOther,
}

/// Which permission and which pinned properties apply to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Makes vectors: `AllowEmbeddings`, `PinnedEmbeddingsProperties`.
    Embeddings,
    /// Generates text: `AllowCompletions`, `PinnedCompletionsProperties`.
    Completions,
    /// Everything else: never restricted, never pinned.
    Other,
}

/// The shape in which a client expects errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientProtocol {
    /// `{"error": "…"}`
    Ollama,
    /// `{"error": {"message": …, "type": …}}`
    OpenAi,
    /// `{"type": "error", "error": {…}}`
    Anthropic,
    /// OllamaFlow's own `{Error, Message, StatusCode}`
    Admin,
}

// === impl Operation ===

impl Operation {
    /// All of them, each at the place of its number: `Operation::ALL[operation as usize]`.
    pub const ALL: [Self; 25] = [
        Self::OllamaGenerate,
        Self::OllamaChat,
        Self::OllamaEmbed,
        Self::OllamaEmbeddings,
        Self::OllamaTags,
        Self::OllamaPs,
        Self::OllamaShow,
        Self::OllamaPull,
        Self::OllamaPush,
        Self::OllamaCreate,
        Self::OllamaCopy,
        Self::OllamaDelete,
        Self::OllamaBlob,
        Self::OllamaVersion,
        Self::OllamaOther,
        Self::OpenAiChat,
        Self::OpenAiCompletion,
        Self::OpenAiEmbeddings,
        Self::OpenAiModels,
        Self::OpenAiModel,
        Self::OpenAiResponses,
        Self::AnthropicMessages,
        Self::AnthropicCountTokens,
        Self::OpenAiTranscription,
        Self::OpenAiOther,
    ];

    /// The API in which the client speaks.
    pub fn format(self) -> ApiFormat {
        match self {
            Self::OllamaGenerate
            | Self::OllamaChat
            | Self::OllamaEmbed
            | Self::OllamaEmbeddings
            | Self::OllamaTags
            | Self::OllamaPs
            | Self::OllamaShow
            | Self::OllamaPull
            | Self::OllamaPush
            | Self::OllamaCreate
            | Self::OllamaCopy
            | Self::OllamaDelete
            | Self::OllamaBlob
            | Self::OllamaVersion
            | Self::OllamaOther => ApiFormat::Ollama,
            _ => ApiFormat::OpenAI,
        }
    }

    /// Its name in logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::OllamaGenerate => "ollama_generate",
            Self::OllamaChat => "ollama_chat",
            Self::OllamaEmbed => "ollama_embed",
            Self::OllamaEmbeddings => "ollama_embeddings",
            Self::OllamaTags => "ollama_tags",
            Self::OllamaPs => "ollama_ps",
            Self::OllamaShow => "ollama_show",
            Self::OllamaPull => "ollama_pull",
            Self::OllamaPush => "ollama_push",
            Self::OllamaCreate => "ollama_create",
            Self::OllamaCopy => "ollama_copy",
            Self::OllamaDelete => "ollama_delete",
            Self::OllamaBlob => "ollama_blob",
            Self::OllamaVersion => "ollama_version",
            Self::OllamaOther => "ollama_other",
            Self::OpenAiChat => "openai_chat",
            Self::OpenAiCompletion => "openai_completion",
            Self::OpenAiEmbeddings => "openai_embeddings",
            Self::OpenAiModels => "openai_models",
            Self::OpenAiModel => "openai_model",
            Self::OpenAiResponses => "openai_responses",
            Self::AnthropicMessages => "anthropic_messages",
            Self::AnthropicCountTokens => "anthropic_count_tokens",
            Self::OpenAiTranscription => "openai_transcription",
            Self::OpenAiOther => "openai_other",
        }
    }

    /// The error shape that the client expects.
    pub fn protocol(self) -> ClientProtocol {
        match self {
            Self::AnthropicMessages | Self::AnthropicCountTokens => ClientProtocol::Anthropic,
            _ if self.format() == ApiFormat::Ollama => ClientProtocol::Ollama,
            _ => ClientProtocol::OpenAi,
        }
    }

    /// Which permission and pins apply.
    pub fn kind(self) -> Kind {
        match self {
            Self::OllamaEmbed | Self::OllamaEmbeddings | Self::OpenAiEmbeddings => Kind::Embeddings,
            Self::OllamaGenerate
            | Self::OllamaChat
            | Self::OpenAiChat
            | Self::OpenAiCompletion
            | Self::OpenAiResponses
            | Self::AnthropicMessages => Kind::Completions,
            _ => Kind::Other,
        }
    }

    /// The method of a request that this node makes itself.
    pub fn method(self) -> &'static str {
        match self {
            Self::OllamaTags
            | Self::OllamaPs
            | Self::OllamaVersion
            | Self::OpenAiModels
            | Self::OpenAiModel => "GET",
            Self::OllamaDelete => "DELETE",
            _ => "POST",
        }
    }

    /// The path sent upstream where it is fixed; `None` means the path as the client wrote it.
    pub fn upstream_path(self) -> Option<&'static str> {
        Some(match self {
            Self::OllamaGenerate => "/api/generate",
            Self::OllamaChat => "/api/chat",
            Self::OllamaEmbed => "/api/embed",
            Self::OllamaEmbeddings => "/api/embeddings",
            Self::OllamaTags => "/api/tags",
            Self::OllamaPs => "/api/ps",
            Self::OllamaShow => "/api/show",
            Self::OllamaPull => "/api/pull",
            Self::OllamaPush => "/api/push",
            Self::OllamaCreate => "/api/create",
            Self::OllamaCopy => "/api/copy",
            Self::OllamaDelete => "/api/delete",
            Self::OllamaVersion => "/api/version",
            Self::OpenAiChat => "/v1/chat/completions",
            Self::OpenAiCompletion => "/v1/completions",
            Self::OpenAiEmbeddings => "/v1/embeddings",
            Self::OpenAiModels => "/v1/models",
            Self::OpenAiResponses => "/v1/responses",
            Self::AnthropicMessages => "/v1/messages",
            Self::AnthropicCountTokens => "/v1/messages/count_tokens",
            Self::OpenAiTranscription => "/v1/audio/transcriptions",
            Self::OllamaBlob | Self::OllamaOther | Self::OpenAiModel | Self::OpenAiOther => return None,
        })
    }
}
