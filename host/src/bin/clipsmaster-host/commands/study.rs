//! Measures what `bench` and `recommend` are asked to.

use super::open;
use crate::{
    Failure,
    arguments::{Common, StudyArguments},
    progress::HostProgress,
};
use clipsmaster_host::{Study, StudyData, StudyPlan, store};

/// Measures; on `threads`, or on the usual ones when there are none.
pub(super) fn measure(
    common: &Common,
    arguments: &StudyArguments,
    threads: Vec<usize>,
) -> Result<Study, Failure> {
    let plan = plan(arguments, threads)?;
    // What one codec gives back must not hide what the next one takes.
    store::give_freed_memory_back();
    let host = open(common)?;
    let progress = HostProgress::new(common);
    Ok(host.study(&plan, &|p| progress.show(p))?)
}

fn plan(arguments: &StudyArguments, threads: Vec<usize>) -> Result<StudyPlan, Failure> {
    let data = if arguments.files.is_empty() {
        StudyData::built_in()
    } else {
        arguments.files.iter().map(|path| StudyData::file(path)).collect::<Result<_, _>>()?
    };
    let mut plan = if arguments.quick { StudyPlan::quick(data) } else { StudyPlan::new(data) };
    plan.algorithms.clone_from(&arguments.algorithm);
    plan.implementations.clone_from(&arguments.implementation);
    plan.levels.clone_from(&arguments.level);
    if !arguments.size.is_empty() {
        plan.piece_bytes.clone_from(&arguments.size);
    }
    if !threads.is_empty() {
        plan.threads = threads;
    }
    plan.sample_bytes = arguments.sample.unwrap_or(plan.sample_bytes);
    plan.min_time_s = arguments.min_time.unwrap_or(plan.min_time_s);
    Ok(plan)
}
