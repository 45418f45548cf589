//! A client's request, read once and written for whichever backend gets it.

use std::borrow::Cow;

use super::answer::{Answer, Generation};
use super::catalog::Lookup;
use super::chat::{Chat, Media};
use super::completion::Completion;
use super::embedding::Embedding;
use super::from_backend::ReadAnswer;
use super::from_client::Asked;
use super::media::RemoteMedia;
use super::to_backend::Said;
use super::to_client::WriteAnswer;
use super::{Occasion, Refused, from_backend, from_client, to_backend, to_client};
use crate::object::ApiFormat;
use crate::route::Operation;

/// A client's request in neutral form.
#[derive(Clone, Debug)]
pub struct Request {
    operation: Operation,
    asked: What,
    dropped: Vec<String>,
}

/// A request as a backend gets it.
#[derive(Debug)]
pub struct Translated {
    /// What the backend is asked: method and path follow from it.
    pub operation: Operation,
    /// The body; empty for `GET`.
    pub body: Vec<u8>,
    /// What of the client's request is not in it, in the client's names, each once.
    pub dropped: Vec<String>,
    /// Makes the client's answer from the backend's.
    pub answer: Answer,
}

#[derive(Clone, Debug)]
enum What {
    Chat(Box<Chat>, ChatEcho),
    Completion(Box<Completion>, CompletionEcho),
    Embedding(Box<Embedding>, EmbeddingEcho),
    Lookup(Lookup),
}

#[derive(Clone, Debug)]
enum ChatEcho {
    Ollama(to_client::ollama_chat::Echo),
    OpenAi(to_client::openai::Echo),
    Responses(Box<to_client::responses::Echo>),
    Anthropic(to_client::anthropic::Echo),
}

#[derive(Clone, Debug)]
enum CompletionEcho {
    Ollama(to_client::ollama_generate::Echo),
    OpenAi(to_client::openai::Echo),
}

#[derive(Clone, Debug)]
pub(super) enum EmbeddingEcho {
    Ollama(to_client::ollama_embed::Echo),
    OpenAi(to_client::openai_embeddings::Echo),
}

// === impl Request ===

impl Request {
    /// Whether requests for this operation can be translated for a backend of `format`. What is not can only be passed on
    /// as it is.
    pub fn is_translatable(operation: Operation, format: ApiFormat) -> bool {
        match operation {
            Operation::OpenAiResponses | Operation::AnthropicMessages => format != ApiFormat::Unknown,
            Operation::OllamaChat
            | Operation::OllamaGenerate
            | Operation::OllamaEmbed
            | Operation::OllamaEmbeddings
            | Operation::OllamaTags
            | Operation::OllamaPs
            | Operation::OllamaShow => format == ApiFormat::OpenAI,
            Operation::OpenAiChat
            | Operation::OpenAiCompletion
            | Operation::OpenAiEmbeddings
            | Operation::OpenAiModels
            | Operation::OpenAiModel => format == ApiFormat::Ollama,
            _ => false,
        }
    }

    /// Reads a request. `path_model` is the model that the path names, for [`Operation::OpenAiModel`].
    pub fn read(operation: Operation, path_model: Option<&str>, body: &[u8]) -> Result<Self, Refused> {
        let (asked, dropped) = match operation {
            Operation::OllamaChat => chat(from_client::ollama_chat::read(body)?, ChatEcho::Ollama),
            Operation::OpenAiChat => chat(from_client::openai_chat::read(body)?, ChatEcho::OpenAi),
            Operation::OpenAiResponses => {
                chat(from_client::responses::read(body)?, |echo| ChatEcho::Responses(Box::new(echo)))
            }
            Operation::AnthropicMessages => chat(from_client::anthropic::read(body)?, ChatEcho::Anthropic),
            Operation::OllamaGenerate => {
                completion(from_client::ollama_generate::read(body)?, CompletionEcho::Ollama)
            }
            Operation::OpenAiCompletion => {
                completion(from_client::openai_completion::read(body)?, CompletionEcho::OpenAi)
            }
            Operation::OllamaEmbed | Operation::OllamaEmbeddings => {
                let asked = from_client::ollama_embed::read(operation, body)?;
                (What::Embedding(Box::new(asked.request), EmbeddingEcho::Ollama(asked.echo)), asked.dropped)
            }
            Operation::OpenAiEmbeddings => {
                let asked = from_client::openai_embeddings::read(body)?;
                (What::Embedding(Box::new(asked.request), EmbeddingEcho::OpenAi(asked.echo)), asked.dropped)
            }
            _ => {
                let (lookup, dropped) = Lookup::read(operation, path_model, body)?;
                (What::Lookup(lookup), dropped)
            }
        };
        Ok(Self { operation, asked, dropped })
    }

    /// Whether images are named by a URL.
    pub fn has_remote_media(&self) -> bool {
        match &self.asked {
            What::Chat(chat, _) => chat.has_remote_media(),
            _ => false,
        }
    }

    /// Images that are named by a URL: a backend of Ollama's API takes none that is not fetched before.
    pub fn remote_media(&mut self) -> Vec<RemoteMedia<'_>> {
        let media: Vec<&mut Media> = match &mut self.asked {
            What::Chat(chat, _) => chat.remote_media().collect(),
            _ => Vec::new(),
        };
        media.into_iter().map(RemoteMedia).collect()
    }

    /// The answer, if it takes no backend: what loads or unloads a model has nothing to do at a backend of OpenAI's API,
    /// which has in memory what it serves.
    pub fn answer_here(&self, format: ApiFormat, occasion: Occasion) -> Option<Vec<u8>> {
        if format != ApiFormat::OpenAI {
            return None;
        }
        match &self.asked {
            What::Chat(chat, ChatEcho::Ollama(echo)) if chat.messages.is_empty() => {
                Some(to_client::ollama_chat::loaded(echo, chat, occasion))
            }
            What::Completion(completion, CompletionEcho::Ollama(echo)) if completion.prompt.is_empty() => {
                Some(to_client::ollama_generate::loaded(echo, completion, occasion))
            }
            What::Embedding(embedding, EmbeddingEcho::Ollama(echo)) if embedding.input.is_empty() => {
                Some(to_client::ollama_embed::loaded(echo))
            }
            _ => None,
        }
    }

    /// The request as one for a model that the backend knows by another name, where that is not written into the body but
    /// looked for in the backend's answer. Answers show the client's name all the same.
    #[must_use]
    pub fn named(&self, model: &str) -> Cow<'_, Self> {
        let mut request = Cow::Borrowed(self);
        if matches!(self.asked, What::Lookup(_))
            && let What::Lookup(lookup) = &mut request.to_mut().asked
        {
            lookup.named(model);
        }
        request
    }

    /// Writes the request for a backend of `format`.
    pub fn write(&self, format: ApiFormat, occasion: Occasion) -> Result<Translated, Refused> {
        let is_openai = format == ApiFormat::OpenAI;
        let generation = |reader: Box<dyn ReadAnswer>, writer: Box<dyn WriteAnswer>, stream| {
            Answer::generation(Generation::new(reader, writer, stream), occasion)
        };
        let (operation, said, answer) = match &self.asked {
            What::Chat(chat, echo) => {
                let writer = echo.writer(occasion);
                if is_openai {
                    let reader = Box::new(from_backend::openai_chat::Reader::new(occasion));
                    let said = to_backend::openai_chat::write(chat, occasion)?;
                    (Operation::OpenAiChat, said, generation(reader, writer, chat.stream))
                } else {
                    let reader = Box::new(from_backend::ollama::Reader::new(occasion));
                    let said = to_backend::ollama_chat::write(chat)?;
                    (Operation::OllamaChat, said, generation(reader, writer, chat.stream))
                }
            }
            What::Completion(completion, echo) => {
                let (writer, stream) = (echo.writer(occasion), completion.stream);
                if !is_openai {
                    let reader = Box::new(from_backend::ollama::Reader::new(occasion));
                    let said = to_backend::ollama_generate::write(completion)?;
                    (Operation::OllamaGenerate, said, generation(reader, writer, stream))
                } else if completion.is_plain() {
                    let reader = Box::new(from_backend::openai_completion::Reader::new(occasion));
                    let said = to_backend::openai_completion::write(completion)?;
                    (Operation::OpenAiCompletion, said, generation(reader, writer, stream))
                } else {
                    let reader = Box::new(from_backend::openai_chat::Reader::new(occasion));
                    let said = to_backend::openai_chat::write(&completion.to_chat(), occasion)?;
                    (Operation::OpenAiChat, said, generation(reader, writer, stream))
                }
            }
            What::Embedding(embedding, echo) => {
                let echo = echo.clone();
                if is_openai {
                    let said = to_backend::openai_embeddings::write(embedding)?;
                    (Operation::OpenAiEmbeddings, said, Answer::embedding(format, echo, occasion))
                } else {
                    let said = to_backend::ollama_embed::write(embedding)?;
                    (Operation::OllamaEmbed, said, Answer::embedding(format, echo, occasion))
                }
            }
            What::Lookup(lookup) => {
                let (operation, body) = lookup.question();
                (operation, Said { body, dropped: Vec::new() }, Answer::lookup(lookup.clone(), occasion))
            }
        };
        let mut dropped = self.dropped.clone();
        dropped.extend(said.dropped.into_iter().map(|name| self.in_clients_names(name)));
        dropped.sort_unstable();
        dropped.dedup();
        Ok(Translated { operation, body: said.body, dropped, answer: answer.for_client(self.operation) })
    }

    /// Options are `options.…` to Ollama's clients, and at the top level to all others; the form of the answer has another
    /// place in each API.
    fn in_clients_names(&self, name: String) -> String {
        if let Some(member) = name.strip_prefix("format.") {
            return match self.operation {
                Operation::OpenAiResponses => format!("text.format.{member}"),
                _ => format!("response_format.json_schema.{member}"),
            };
        }
        let is_option = to_backend::OPTIONS.contains(&name.as_str());
        if is_option && self.operation.format() == ApiFormat::Ollama {
            format!("options.{name}")
        } else {
            name
        }
    }
}

// === impl ChatEcho ===

impl ChatEcho {
    fn writer(&self, occasion: Occasion) -> Box<dyn WriteAnswer> {
        match self.clone() {
            Self::Ollama(echo) => Box::new(to_client::ollama_chat::Writer::new(echo, occasion)),
            Self::OpenAi(echo) => Box::new(to_client::openai_chat::Writer::new(echo, occasion)),
            Self::Responses(echo) => Box::new(to_client::responses::Writer::new(*echo, occasion)),
            Self::Anthropic(echo) => Box::new(to_client::anthropic::Writer::new(echo, occasion)),
        }
    }
}

// === impl CompletionEcho ===

impl CompletionEcho {
    fn writer(&self, occasion: Occasion) -> Box<dyn WriteAnswer> {
        match self.clone() {
            Self::Ollama(echo) => Box::new(to_client::ollama_generate::Writer::new(echo, occasion)),
            Self::OpenAi(echo) => Box::new(to_client::openai_completion::Writer::new(echo, occasion)),
        }
    }
}

fn chat<E>(asked: Asked<Chat, E>, echo: impl Fn(E) -> ChatEcho) -> (What, Vec<String>) {
    (What::Chat(Box::new(asked.request), echo(asked.echo)), asked.dropped)
}

fn completion<E>(asked: Asked<Completion, E>, echo: impl Fn(E) -> CompletionEcho) -> (What, Vec<String>) {
    (What::Completion(Box::new(asked.request), echo(asked.echo)), asked.dropped)
}

#[cfg(test)]
mod tests;
