//! Contexts and detections.

use windlass_model::plan::{self as model, Context, DetectReport, Detection, NearMiss, Refusal};

use crate::bindings::{detector, types};
use crate::text::{cut, plain, plain_line};

/// Detections in one report.
const DETECTIONS_MAX: usize = 64;
/// What nearly matched, in one report.
const NEAR_MISSES_MAX: usize = 256;

pub(crate) fn context(context: &Context) -> types::Context {
    types::Context {
        platform: context.platform.clone(),
        app_dir: context.app_dir.clone(),
        config_json: context.config_json.clone(),
        options_json: match context.options_json.as_str() {
            "" => "{}".to_owned(),
            options => options.to_owned(),
        },
        variable_names: context.variable_names.clone(),
        services: context.services.iter().map(service).collect(),
        previous_toolchains: context.previous_toolchains.iter().map(toolchain).collect(),
    }
}

fn service(service: &model::ServiceInfo) -> types::Service {
    types::Service {
        name: service.name.clone(),
        kind: service.kind.clone(),
        variable_names: service.variable_names.clone(),
    }
}

fn toolchain(toolchain: &model::Toolchain) -> types::Toolchain {
    types::Toolchain { name: toolchain.name.clone(), requirement: toolchain.requirement.clone() }
}

pub(crate) fn toolchains(all: Vec<types::Toolchain>) -> Vec<model::Toolchain> {
    let one = |from: types::Toolchain| model::Toolchain {
        name: plain_line(&from.name),
        requirement: plain_line(&from.requirement),
    };
    all.into_iter().map(one).collect()
}

pub(crate) fn evidence(all: Vec<types::Evidence>) -> Vec<model::Evidence> {
    let one = |from: types::Evidence| model::Evidence {
        path: plain_line(&from.path),
        detail: plain(&from.detail),
    };
    all.into_iter().map(one).collect()
}

pub(crate) fn detection(detection: &Detection) -> types::Detection {
    let evidence = |from: &model::Evidence| types::Evidence {
        path: from.path.clone(),
        detail: from.detail.clone(),
    };
    types::Detection {
        id: detection.id.clone(),
        name: detection.name.clone(),
        ecosystem: detection.ecosystem.clone(),
        toolchains: detection.toolchains.iter().map(toolchain).collect(),
        confidence: detection.confidence,
        evidence: detection.evidence.iter().map(evidence).collect(),
        supersedes: detection.supersedes.clone(),
        app_dir: detection.app_dir.clone(),
        notes_json: detection.notes_json.clone(),
        refusal: detection.refusal.as_ref().map(|refusal| types::PluginError {
            code: refusal.code.clone(),
            message: refusal.message.clone(),
            hint: refusal.hint.clone(),
            retryable: refusal.retryable,
        }),
    }
}

pub(crate) fn refusal(error: types::PluginError) -> Refusal {
    Refusal {
        code: error.code,
        message: cut(plain(&error.message)),
        hint: error.hint.as_deref().map(plain).map(cut),
        retryable: error.retryable,
    }
}

/// Whether a text is a code: two or more words with dots between them, at most 100 characters.
pub(crate) fn is_code(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let word = |word: &str| !word.is_empty() && word.chars().all(letter);
    text.len() <= 100 && text.contains('.') && text.split('.').all(word)
}

fn is_id(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c);
    (1..=64).contains(&text.len()) && text.chars().all(letter)
}

/// Whether a text is a plain path below a root.
fn is_folder(text: &str) -> bool {
    (1..=1024).contains(&text.len()) && text.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

pub(crate) fn report(report: detector::Report) -> Result<DetectReport, String> {
    if report.detections.len() > DETECTIONS_MAX {
        let many = report.detections.len();
        return Err(format!("{many} detections are more than {DETECTIONS_MAX}"));
    }
    if report.near_misses.len() > NEAR_MISSES_MAX {
        let many = report.near_misses.len();
        return Err(format!("{many} near misses are more than {NEAR_MISSES_MAX}"));
    }
    let near_miss = |from: detector::NearMiss| NearMiss {
        id: plain_line(&from.id),
        reason: plain(&from.reason),
    };
    Ok(DetectReport {
        detections: report.detections.into_iter().map(checked).collect::<Result<_, _>>()?,
        near_misses: report.near_misses.into_iter().map(near_miss).collect(),
    })
}

fn checked(from: types::Detection) -> Result<Detection, String> {
    let id = from.id;
    if !is_id(&id) {
        let rule = "1 to 64 of a-z, 0-9, hyphen, dot and underscore";
        return Err(format!("the detection id {id:?} is not {rule}"));
    }
    if from.confidence > 100 {
        return Err(format!("{id}: confidence {} is more than 100", from.confidence));
    }
    if let Some(bad) = from.supersedes.iter().find(|superseded| **superseded == id) {
        return Err(format!("{bad} supersedes itself"));
    }
    if let Some(bad) = from.app_dir.as_ref().filter(|dir| !is_folder(dir)) {
        return Err(format!("{id}: {bad:?} is no folder below the source's root"));
    }
    let refusal = from.refusal.map(refusal);
    if let Some(bad) = refusal.as_ref().filter(|refusal| !is_code(&refusal.code)) {
        return Err(format!("{id}: the code {:?} of its refusal is not valid", bad.code));
    }
    Ok(Detection {
        id,
        name: plain_line(&from.name),
        ecosystem: plain_line(&from.ecosystem),
        toolchains: toolchains(from.toolchains),
        confidence: from.confidence,
        evidence: evidence(from.evidence),
        supersedes: from.supersedes,
        app_dir: from.app_dir,
        notes_json: from.notes_json,
        refusal,
    })
}
