//! The whole system as a user meets it: the real programs, real labs, the genuine docker command line.
//!
//! It runs as whoever starts it, and every promise has to hold as root and as an ordinary user with
//! subordinate ids; `scripts/test` runs it as both. Arguments choose tests by a part of their name.
#![forbid(unsafe_code)]

mod docker;
mod doctor;
mod images;
mod isolation;
mod lab;
mod lesson;
mod nothing_left;
mod refusals;
mod rootless;
mod server;
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
        doctor::json_and_text_agree,
        images::the_index_tells_the_truth,
        images::nothing_of_this_machine_is_in_them,
        images::a_second_build_is_instant,
        images::a_broken_download_says_what_to_do,
        lab::exit_status_is_the_commands,
        lab::output_and_errors_stay_apart,
        lab::the_lab_host_is_a_machine_of_its_own,
        lab::json_adds_what_the_kernel_says,
        docker::it_is_the_genuine_command_line,
        docker::version_and_info,
        docker::images_say_what_they_are,
        docker::run_passes_options_on,
        docker::run_passes_output_and_status_on,
        docker::a_container_lives_its_life,
        docker::names_and_removal,
        docker::logs_follow,
        docker::stop_kill_and_wait,
        docker::top_inspect_and_exec,
        docker::a_terminal_in_a_container,
        docker::standard_input_reaches_a_container,
        docker::errors_are_dockers_own,
        docker::what_is_missing_says_so,
        docker::a_container_is_walled_in,
        isolation::the_machines_files_are_out_of_reach,
        isolation::the_machines_processes_are_out_of_reach,
        isolation::the_machines_loopback_is_out_of_reach,
        isolation::other_labs_are_out_of_reach,
        isolation::what_labs_share_is_read_only,
        isolation::the_kernels_switches_are_out_of_reach,
        isolation::a_fork_bomb_stays_inside,
        isolation::filling_the_disk_stays_inside,
        isolation::a_gigabyte_of_output_ends,
        rootless::root_inside_is_the_user_outside,
        rootless::an_escape_leads_to_the_user_only,
        rootless::ports_are_opened_on_the_lab_host,
        rootless::two_engines_know_nothing_of_each_other,
        rootless::nothing_outlives_the_engine,
        rootless::who_cannot_have_one_is_told_why,
        refusals::each_names_its_wall,
        lesson::every_lesson_proves_itself,
        lesson::list_and_lint,
        lesson::broken_promises_are_found,
        server::a_page_is_served_to_this_machine_only,
        server::a_killed_server_comes_back_to_the_same_lab,
        nothing_left::by_a_command_in_a_lab,
        nothing_left::by_containers_that_still_run,
        nothing_left::by_a_killed_program,
        nothing_left::by_all_of_these_tests,
    ];
    harness::run(&world, &tests, &filters, &mut |line| println!("{line}")).exit_code()
}
