//! One row of the route table.

use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use windlass_model::access::TokenScope;

use super::App;
use super::guard::Rule;

/// A method, in the three notations that are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
    Put,
    Delete,
}

impl Verb {
    fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
            Self::Put => MethodFilter::PUT,
            Self::Delete => MethodFilter::DELETE,
        }
    }

    /// As OpenAPI writes it.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
            Self::Put => "put",
            Self::Delete => "delete",
        }
    }
}

/// What a body is.
#[derive(Clone, Copy)]
pub(super) enum Content {
    /// Nothing.
    Empty,
    /// JSON of this type.
    Json(fn(&mut SchemaGenerator) -> Schema),
    /// Bytes of an archive.
    Archive,
    /// Lines for a machine that does not read JSON.
    Text,
    /// JSON of this type, or server-sent events with these names when the query asks for them.
    Events(fn(&mut SchemaGenerator) -> Schema, &'static str),
}

/// What a route is about, for callers that are limited to projects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// The project of its path.
    Project,
    /// The deployment of its path.
    Deployment,
    /// The whole host: refused to a limited caller.
    Host,
    /// The whole host, but its handler shows a limited caller only what is his.
    Filtered,
}

/// A route and what is said of it.
pub(super) struct Row {
    pub(super) verb: Verb,
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    /// Name and meaning of each query parameter.
    pub(super) query: &'static [(&'static str, &'static str)],
    /// Request headers that it heeds.
    pub(super) headers: &'static [(&'static str, &'static str)],
    pub(super) takes: Content,
    pub(super) answers: Content,
    pub(super) status: u16,
    /// Statuses of its errors, beside 401 and 500.
    pub(super) errors: &'static [u16],
    /// Whether it needs no token.
    pub(super) is_open: bool,
    /// The scope that its token needs.
    pub(super) scope: Option<TokenScope>,
    /// Whether its handler shows a limited caller only what is his.
    pub(super) is_filtered: bool,
    pub(super) handler: MethodRouter<App>,
}

/// A row that takes and answers nothing yet. A GET needs the scope `read`; every other row must say what
/// it [needs](Row::needs).
pub(super) fn row<H, T>(verb: Verb, path: &'static str, summary: &'static str, handler: H) -> Row
where
    H: Handler<T, App>,
    T: 'static,
{
    Row {
        verb,
        path,
        summary,
        query: &[],
        headers: &[],
        takes: Content::Empty,
        answers: Content::Empty,
        status: 204,
        errors: &[],
        is_open: false,
        scope: (verb == Verb::Get).then_some(TokenScope::Read),
        is_filtered: false,
        handler: on(verb.filter(), handler),
    }
}

impl Row {
    /// Takes JSON.
    pub(super) fn takes<T: JsonSchema>(mut self) -> Self {
        self.takes = Content::Json(SchemaGenerator::subschema_for::<T>);
        self
    }

    /// Takes an archive.
    pub(super) fn takes_archive(mut self) -> Self {
        self.takes = Content::Archive;
        self
    }

    /// Answers with an archive.
    pub(super) fn answers_archive(mut self) -> Self {
        self.answers = Content::Archive;
        self.status = 200;
        self
    }

    /// Answers with lines of text.
    pub(super) fn answers_text(mut self) -> Self {
        self.answers = Content::Text;
        self.status = 200;
        self
    }

    /// Answers JSON with this status.
    pub(super) fn answers<T: JsonSchema>(mut self, status: u16) -> Self {
        self.answers = Content::Json(SchemaGenerator::subschema_for::<T>);
        self.status = status;
        self
    }

    /// Answers JSON, or a stream of events.
    pub(super) fn streams<T: JsonSchema>(mut self, events: &'static str) -> Self {
        self.answers = Content::Events(SchemaGenerator::subschema_for::<T>, events);
        self.status = 200;
        self
    }

    /// Becomes a websocket; [`windlass_model::session`] says what is said there.
    pub(super) fn upgrades(mut self) -> Self {
        self.status = 101;
        self
    }

    /// Takes these query parameters.
    pub(super) fn query(mut self, query: &'static [(&'static str, &'static str)]) -> Self {
        self.query = query;
        self
    }

    /// Makes a deployment, and so takes an idempotency key; an answer that was given before has the
    /// status 200.
    pub(super) fn keyed(mut self) -> Self {
        self.headers = &[(
            "Idempotency-Key",
            "a fresh key for each deployment: a request that is sent again with its key makes nothing \
             again, and is answered with 200 and the header Idempotency-Replayed",
        )];
        self
    }

    /// Answers these statuses for its errors.
    pub(super) fn errors(mut self, errors: &'static [u16]) -> Self {
        self.errors = errors;
        self
    }

    /// Needs a token of this scope. A row that does not say so needs `admin`, and fails a test.
    pub(super) fn needs(mut self, scope: TokenScope) -> Self {
        self.scope = Some(scope);
        self
    }

    /// Is about the whole host, and its handler shows a caller that is limited to projects only what is
    /// his. Without this such a caller is refused.
    pub(super) fn filtered(mut self) -> Self {
        self.is_filtered = true;
        self
    }

    /// What a limited caller may reach by it.
    pub(super) fn reach(&self) -> Reach {
        match () {
            () if self.path.contains("{project}") => Reach::Project,
            () if self.path.contains("{deployment}") => Reach::Deployment,
            () if self.is_filtered => Reach::Filtered,
            () => Reach::Host,
        }
    }

    /// What the guard knows of it.
    pub(super) fn rule(&self) -> Rule {
        let scope = self.scope.unwrap_or(TokenScope::Admin);
        let opens_session = self.status == 101;
        Rule { verb: self.verb, path: self.path, scope, reach: self.reach(), opens_session }
    }

    /// Needs no token.
    pub(super) fn open(mut self) -> Self {
        self.is_open = true;
        self
    }
}
