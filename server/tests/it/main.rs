//! The server as its browsers meet it: each test has a server of its own on a free port, a database of its own, and
//! a stand-in for the agent that speaks the agent's API, so that the agent's failures can be had on demand.
//!
//! What a real agent does with real labs is tested by the whole-system tests.

mod agent;
mod browser;
mod guard;
mod labs;
mod progress;
mod site;
mod terminals;
