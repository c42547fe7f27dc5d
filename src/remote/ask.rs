//! The seam between a stage and another service: a question, and who answers it.
//!
//! In service it is a [`Remote`](super::Remote) that answers, over the network. Where nobody is to be asked, as in a
//! test of policies or where it is explained what would become of a request, it is what was given.

use std::fmt;

use async_trait::async_trait;
use http::HeaderValue;
use url::Url;

use super::{LONGEST_ANSWER, RemoteError, Reply};

/// Who answers.
#[async_trait]
pub trait Ask: fmt::Debug + Send + Sync {
    /// Answers a question.
    ///
    /// # Errors
    ///
    /// Why there is no answer within the bounds. It means "cannot decide", never "no".
    async fn ask(&self, question: Question<'_>) -> Result<Reply, RemoteError>;
}

/// What is asked of a service. It may carry a token or name a consent, so that it cannot be printed.
#[derive(Clone)]
pub struct Question<'a> {
    pub(super) place: AskedAt<'a>,
    pub(super) what: QuestionKind<'a>,
    /// Bytes of an answer.
    pub(super) most: usize,
}

/// Where it is asked.
#[derive(Clone)]
pub(super) enum AskedAt<'a> {
    /// At the endpoint, or at a path below it whose segments are not encoded yet.
    Below(&'a [&'a str]),
    /// Elsewhere, by the same client.
    At(Url),
}

#[derive(Clone)]
pub(super) enum QuestionKind<'a> {
    /// GET of JSON.
    Json,
    /// GET, unless it is the version that is known.
    Document(Option<HeaderValue>),
    /// POST of a form, with `client_secret_basic` if a client id and secret are given.
    Form(String, Option<(&'a str, &'a str)>),
}

impl<'a> Question<'a> {
    /// GET of JSON at the endpoint, or at a path below it whose segments are encoded on the way.
    pub fn get(segments: &'a [&'a str]) -> Self {
        Self { place: AskedAt::Below(segments), what: QuestionKind::Json, most: LONGEST_ANSWER }
    }

    /// GET of JSON at another URL.
    pub fn get_at(url: Url) -> Self {
        Self { place: AskedAt::At(url), ..Self::get(&[]) }
    }

    /// POST of a form, with `client_secret_basic` if a client id and secret are given.
    pub fn form(form: String, basic: Option<(&'a str, &'a str)>) -> Self {
        Self { what: QuestionKind::Form(form, basic), ..Self::get(&[]) }
    }

    /// GET of a document of at most so many bytes, unless it is still the version that is `known`. By
    /// entity tag only: times of servers that share an address differ, and would hide a newer version.
    pub fn document(known: Option<HeaderValue>, most: usize) -> Self {
        Self { what: QuestionKind::Document(known), most, ..Self::get(&[]) }
    }

    /// The path below the endpoint, a segment after the other; none if it is asked elsewhere.
    pub fn segments(&self) -> &'a [&'a str] {
        match self.place {
            AskedAt::Below(segments) => segments,
            AskedAt::At(_) => &[],
        }
    }
}
