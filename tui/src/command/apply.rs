//! `apply`

use maglev_probe::{ApplyPlan, Step, StepAction};

use super::{
    Context, config, print,
    report::{ChangeReport, ChangesReport},
};
use crate::{cli::Apply, failure::Failure};

pub(super) fn run(context: &Context<'_>, words: &Apply) -> Result<(), Failure> {
    if words.override_by_hand {
        return Err(super::not_yet("apply --override"));
    }
    let config = config::read(&words.config)?;
    let datapath = context.datapath()?;
    let plan = datapath.plan_apply(&config)?;
    if !context.json() {
        text(&plan, if words.dry_run { "would" } else { "doing" })?;
    }
    let plan = if words.dry_run {
        plan
    } else {
        let (done, warnings) = datapath.apply(&config, words.break_connections)?;
        print::warnings(&warnings);
        done
    };
    if context.json() {
        return print::json(&ChangesReport { changes: plan.steps.iter().flat_map(reports).collect() });
    }
    Ok(())
}

/// Prints a plan, a line a step, under `title`.
pub(super) fn text(plan: &ApplyPlan, title: &str) -> Result<(), Failure> {
    if plan.steps.is_empty() {
        return print::line("nothing to do: the running state is the configuration's");
    }
    print::line(&format!("{title}:"))?;
    for step in &plan.steps {
        print::line(&format!("  service {}: {}", step.service, in_words(step)))?;
    }
    Ok(())
}

fn in_words(step: &Step) -> String {
    match &step.action {
        StepAction::Add => "add it".to_owned(),
        StepAction::Remove => "remove it; its connections end".to_owned(),
        StepAction::Remake(why) => format!("make it anew, its connections end: {}", why.join(", ")),
        StepAction::Retune(what) => format!("change {}", what.join(", ")),
        StepAction::Backends { changes, plan } => {
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
    let whole = |action: &str| ChangeReport {
        action: action.to_owned(),
        service: step.service.clone(),
        backend: String::new(),
        moved: 0,
        minimum: 0,
    };
    match &step.action {
        StepAction::Add => vec![whole("add-service")],
        StepAction::Remove => vec![whole("remove-service")],
        StepAction::Remake(_) => vec![whole("remove-service"), whole("add-service")],
        StepAction::Retune(_) => vec![whole("retune")],
        StepAction::Backends { changes, plan } => super::backend::reports(changes, plan),
    }
}
