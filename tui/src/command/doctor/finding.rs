//! What a check says.

use serde::Serialize;

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and may not always.
    Warning,
    /// It does not work.
    Fault,
    /// It could not be looked at.
    Skipped,
}

impl Verdict {
    /// The word for it on a screen: what matters is told by more than its place.
    pub(super) const fn on_screen(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "WARNING",
            Self::Fault => "FAULT",
            Self::Skipped => "skipped",
        }
    }
}

/// A judgement, before it is known what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Judgement {
    pub(super) verdict: Verdict,
    /// What was found, in words.
    pub(super) found: String,
    /// How to mend it.
    pub(super) mend: Option<String>,
}

impl Judgement {
    pub(super) fn ok(found: impl Into<String>) -> Self {
        Self { verdict: Verdict::Ok, found: found.into(), mend: None }
    }

    pub(super) fn warning(found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warning, found: found.into(), mend: Some(mend.into()) }
    }

    pub(super) fn fault(found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fault, found: found.into(), mend: Some(mend.into()) }
    }

    pub(super) fn skipped(why: impl Into<String>) -> Self {
        Self { verdict: Verdict::Skipped, found: why.into(), mend: None }
    }

    /// The same, and what it is about.
    pub(super) fn about(self, about: impl Into<String>) -> Found {
        Found { about: about.into(), judgement: self }
    }
}

/// A judgement, and what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) about: String,
    pub(super) judgement: Judgement,
}

/// What a check says, with the check's name.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Finding {
    pub(super) name: &'static str,
    pub(super) verdict: Verdict,
    pub(super) about: String,
    pub(super) found: String,
    pub(super) mend: Option<String>,
}

impl Finding {
    pub(super) fn of(name: &'static str, found: Found) -> Self {
        let Found { about, judgement: Judgement { verdict, found, mend } } = found;
        Self { name, verdict, about, found, mend }
    }
}
