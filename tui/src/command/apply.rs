//! `apply`

use maglev_probe::{ApplyPlan, ApplyTerms, Kept, Step, StepAction};
use serde::Serialize;

use super::{
    Context, config, print,
    report::{ChangeReport, change_reports},
};
use crate::{cli::Apply, failure::Failure};

/// What `apply` prints as JSON.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ApplyReport {
    changes: Vec<ChangeReport>,
    /// What was changed by hand and stays, in words.
    kept: Vec<String>,
}

pub(super) fn run(context: &Context<'_>, words: &Apply) -> Result<(), Failure> {
    let config = config::read(&words.config)?;
    let datapath = context.datapath()?;
    let plan = datapath.plan_apply(&config, words.override_by_hand)?;
    for what in &plan.out_of_reach {
        print::warnings(&[format!("{what}: `down` and `up` do that, `apply` does not")]);
    }
    if !context.json() {
        text(&plan, if words.dry_run { "would" } else { "doing" }, "kept as it is (--override undoes it)")?;
    }
    let plan = if words.dry_run {
        plan
    } else {
        let terms = ApplyTerms {
            override_by_hand: words.override_by_hand,
            break_connections: words.break_connections,
            // What was shown is what is done. An odd version is of a change that was cut short, and is put right first.
            state_version: Some(plan.state_version).filter(|version| version.is_multiple_of(2)),
        };
        let (done, warnings) = datapath.apply(&config, terms)?;
        print::warnings(&warnings);
        done
    };
    if context.json() {
        let settings = plan.settings.iter().map(|_| whole("settings", ""));
        return print::json(&ApplyReport {
            changes: settings.chain(plan.steps.iter().flat_map(reports)).collect(),
            kept: plan.kept.iter().map(kept_in_words).collect(),
        });
    }
    Ok(())
}

/// Prints a plan, a line a step, under `title`; and under `title_of_kept` what it leaves alone.
fn text(plan: &ApplyPlan, title: &str, title_of_kept: &str) -> Result<(), Failure> {
    if plan.is_empty() && plan.kept.is_empty() {
        return print::line("nothing to do: the running state is the configuration's");
    }
    if plan.is_empty() {
        print::line("nothing to do")?;
    } else {
        print::line(&format!("{title}:"))?;
    }
    for what in
        plan.settings.iter().map(|what| format!("datapath: {what}")).chain(plan.steps.iter().map(in_words))
    {
        print::line(&format!("  {what}"))?;
    }
    if !plan.kept.is_empty() {
        print::line(&format!("{title_of_kept}:"))?;
        for kept in &plan.kept {
            print::line(&format!("  {}", kept_in_words(kept)))?;
        }
    }
    Ok(())
}

/// Where the running state differs from a configuration, in words, those changes by hand included.
pub(super) fn differences(plan: &ApplyPlan) -> Vec<String> {
    let datapath = plan.settings.iter().chain(&plan.out_of_reach).map(|what| format!("datapath: {what}"));
    datapath.chain(plan.steps.iter().map(in_words)).chain(plan.kept.iter().map(kept_in_words)).collect()
}

fn kept_in_words(kept: &Kept) -> String {
    format!("service {}: {} {}", kept.service, kept.backend, kept.what)
}

fn in_words(step: &Step) -> String {
    format!("service {}: {}", step.service, action_in_words(step))
}

fn action_in_words(step: &Step) -> String {
    match &step.action {
        StepAction::Add => "add it".to_owned(),
        StepAction::Remove => "remove it; its connections end".to_owned(),
        StepAction::Remake { why, .. } => {
            format!("make it anew, its connections end: {}", why.join(", "))
        }
        StepAction::Retune { what, breaks: None } => format!("change {}", what.join(", ")),
        StepAction::Retune { what, breaks: Some(why) } => {
            format!("change {}, connections end: {why}", what.join(", "))
        }
        StepAction::Backends { changes, plan, .. } => {
            let changes: Vec<String> =
                changes.iter().map(|change| format!("{} {}", change.action(), change.backend())).collect();
            format!(
                "{}; {} of {} slots move, {} at least",
                changes.join(", "),
                plan.moved,
                plan.table_size,
                plan.minimum
            )
        }
    }
}

/// The elements of `changes` that a step comes to. What several backends' changes move together stands with the first.
fn reports(step: &Step) -> Vec<ChangeReport> {
    let whole = |action| whole(action, &step.service);
    match &step.action {
        StepAction::Add => vec![whole("add-service")],
        StepAction::Remove => vec![whole("remove-service")],
        StepAction::Remake { .. } => vec![whole("remove-service"), whole("add-service")],
        StepAction::Retune { .. } => vec![whole("retune")],
        StepAction::Backends { changes, plan, .. } => change_reports(changes, plan),
    }
}

/// The element of `changes` that stands for what is done to a service, or the datapath, as a whole.
fn whole(action: &str, service: &str) -> ChangeReport {
    ChangeReport {
        action: action.to_owned(),
        service: service.to_owned(),
        backend: String::new(),
        moved: 0,
        minimum: 0,
    }
}
