//! The OpenAPI 3.1 document, made from the route table and the types' own schemas.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use windlass_model::access::TokenScope;
use windlass_model::api::ErrorBody;

use super::route::{Content, Reach, Row};

/// The document for these rows.
pub(super) fn document(rows: &[Row]) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let error = generator.subschema_for::<ErrorBody>();
    let mut paths = Map::new();
    for row in rows {
        let path = paths.entry(row.path).or_insert_with(|| json!({}));
        if let Value::Object(path) = path {
            path.insert(
                row.verb.key().to_owned(),
                operation(row, &mut generator, error.as_value()),
            );
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Windlass",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A self-hosted build-and-deploy host. Every error has the body ErrorBody.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": { "token": {
                "type": "http",
                "scheme": "bearer",
                "description": "A token of `POST /v1/tokens`, or the host's own. Scopes: `read`, `deploy`, \
                                `admin`; each includes those before it.",
            } },
        },
    })
}

fn operation(row: &Row, generator: &mut SchemaGenerator, error: &Value) -> Value {
    let mut operation = json!({
        "summary": row.summary,
        "operationId": operation_id(row),
        "parameters": parameters(row),
        "responses": responses(row, generator, error),
    });
    let body = match row.takes {
        Content::Empty | Content::Text | Content::Events(..) => None,
        Content::Json(schema) => {
            Some(json!({ "application/json": { "schema": schema(generator) } }))
        }
        Content::Archive => Some(json!({ "application/octet-stream": {} })),
    };
    if let Some(content) = body {
        operation["requestBody"] = json!({ "required": true, "content": content });
    }
    let scope = row.rule().scope;
    operation["security"] = match row.is_open {
        true => json!([]),
        false => json!([{ "token": [scope.as_str()] }]),
    };
    if !row.is_open {
        operation["description"] = json!(needs(scope, row.reach()));
    }
    operation
}

/// In words what a token must have.
fn needs(scope: TokenScope, reach: Reach) -> String {
    let limited = match reach {
        Reach::Host => "is refused with 403",
        Reach::Filtered => "is shown only what is of its projects",
        Reach::Project | Reach::Deployment => "gets 404 for those of others",
    };
    format!("Needs a token of the scope `{scope}`. A token that is limited to projects {limited}.")
}

fn responses(row: &Row, generator: &mut SchemaGenerator, error: &Value) -> Value {
    let content = match row.answers {
        Content::Empty if row.status == 101 => {
            json!({ "description": "The connection is a websocket from here on." })
        }
        Content::Empty => json!({ "description": "Done." }),
        Content::Archive => json!({
            "description": row.summary,
            "content": { "application/x-tar": {} },
        }),
        Content::Text => json!({
            "description": row.summary,
            "content": { "text/plain": { "schema": { "type": "string" } } },
        }),
        Content::Json(schema) => json!({
            "description": row.summary,
            "content": { "application/json": { "schema": schema(generator) } },
        }),
        Content::Events(schema, events) => json!({
            "description": events,
            "content": {
                "application/json": { "schema": schema(generator) },
                "text/event-stream": { "schema": { "type": "string", "description": events } },
            },
        }),
    };
    let mut responses = Map::new();
    if !row.headers.is_empty() {
        responses.insert("200".to_owned(), content.clone());
    }
    responses.insert(row.status.to_string(), content);
    let around: &[u16] = if row.is_open { &[500] } else { &[401, 403, 429, 500] };
    for status in row.errors.iter().chain(around) {
        let failed = json!({
            "description": "It failed: what, why, and how to fix it.",
            "content": { "application/json": { "schema": error } },
        });
        responses.entry(status.to_string()).or_insert(failed);
    }
    Value::Object(responses)
}

fn parameters(row: &Row) -> Value {
    let text = json!({ "type": "string" });
    let in_path = path_names(row.path)
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": text }));
    let in_query = row.query.iter().map(|(name, meaning)| {
        json!({ "name": name, "in": "query", "required": false, "description": meaning, "schema": text })
    });
    let in_headers = row.headers.iter().map(|(name, meaning)| {
        json!({ "name": name, "in": "header", "required": false, "description": meaning, "schema": text })
    });
    Value::Array(in_path.chain(in_query).chain(in_headers).collect())
}

/// The names in braces.
fn path_names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

/// `get_projects_project`: the method and the path's words.
fn operation_id(row: &Row) -> String {
    let words = row.path.split(['/', '-', '.']).map(|part| part.trim_matches(['{', '}']));
    let words: Vec<&str> = words.filter(|word| !matches!(*word, "" | "v1" | "json")).collect();
    format!("{}_{}", row.verb.key(), words.join("_"))
}
