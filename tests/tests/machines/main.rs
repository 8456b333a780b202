//! Labs in virtual machines, through the agent's API: what each has of its own, how they die, and what a hostile one costs
//! others.
//!
//! It needs the image of lab VMs (`isolab vm build`) and QEMU, and is skipped, aloud, where they are missing. It runs as
//! whoever starts it. Arguments choose tests by a part of their name; ISOLAB_RESTORES says how many machines are restored.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../../../sandbox/agent/tests/agent/client.rs"]
#[allow(dead_code, reason = "the agent's own tests use all of it")]
mod client;

mod deaths;
mod fresh;
mod hostile;
mod use_of;
mod world;

use isolab_tests::{harness, tests};
use std::process::ExitCode;
use world::World;

fn main() -> ExitCode {
    let filters: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let world = match World::new() {
        Ok(world) => world,
        Err(error) => {
            eprintln!("the programs under test cannot be found: {error}");
            return ExitCode::FAILURE;
        }
    };
    let tests = tests![
        use_of::the_lab_host_is_a_whole_machine,
        use_of::docker_default_is_loaded_and_enforced,
        use_of::limits_are_kept_by_the_kernel,
        use_of::commands_and_terminals_are_as_in_a_sandbox,
        use_of::what_happens_is_observed,
        use_of::qemu_is_confined,
        fresh::machines_share_nothing_that_tells_them_apart,
        fresh::a_reset_is_another_machine,
        deaths::every_death_is_told_and_another_machine_takes_its_place,
        deaths::a_machine_that_dies_again_and_again_is_given_up,
        deaths::nothing_is_left_of_a_killed_agent,
        hostile::a_neighbour_does_not_notice,
    ];
    harness::run(&world, &tests, &filters, &mut |line| println!("{line}")).exit_code()
}
