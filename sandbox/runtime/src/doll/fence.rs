//! Bridges kept apart: what comes in from one is not routed to another.
//!
//! A machine that forwards packets would otherwise let containers of different networks reach each other through it. Policy
//! routing says no: for what comes in from a bridge, a table with a black hole for the addresses of every bridge is asked
//! before the usual one. It needs no packet filter, so that it works in every lab, and nothing that a learner does to
//! the filter opens it. The machine's own addresses are in a table that is asked even before.

use super::netlink::{Request, Route, flag};
use crate::Error;
use crate::error::Failed;
use rustix::io::Errno;
use std::net::Ipv4Addr;

const NEW_ROUTE: u16 = 24;
const DELETE_ROUTE: u16 = 25;
const NEW_RULE: u16 = 32;
const DELETE_RULE: u16 = 33;

/// The table with the black holes; one that no distribution names.
const TABLE: u8 = 217;
/// After the table of the machine's own addresses (0), before all that users of policy routing usually add.
const PRIORITY: u32 = 217;

/// `RTN_BLACKHOLE` and `FR_ACT_BLACKHOLE`, `FR_ACT_TO_TBL` (rtnetlink.h, fib_rules.h).
const BLACK_HOLE: u8 = 6;
const TO_TABLE: u8 = 1;

/// Keeps the bridge and its addresses apart from all other bridges that are; an `internal` one from everything else too.
pub fn fence(bridge: &str, subnet: (Ipv4Addr, u8), internal: bool) -> Result<(), Error> {
    let make = || {
        let open = Route::open()?;
        let flags = flag::CREATE | flag::EXCLUSIVE;
        let route = open.ask(&black_hole(NEW_ROUTE, flags, subnet), "add a black hole").map(drop);
        but(Errno::EXIST, route)?;
        but(Errno::EXIST, open.ask(&rule(NEW_RULE, flags, bridge, internal), "add a rule").map(drop))
    };
    make().map_err(|failed: Failed| failed.in_step(format!("fencing the bridge {bridge}")))
}

/// Takes the fence of a bridge away; that there is none is no error.
pub fn unfence(bridge: &str, subnet: (Ipv4Addr, u8), internal: bool) -> Result<(), Error> {
    let remove = || {
        let open = Route::open()?;
        let rule = open.ask(&rule(DELETE_RULE, 0, bridge, internal), "delete a rule").map(drop);
        but(Errno::NOENT, rule)?;
        but(Errno::SRCH, open.ask(&black_hole(DELETE_ROUTE, 0, subnet), "delete a black hole").map(drop))
    };
    remove().map_err(|failed: Failed| failed.in_step(format!("unfencing the bridge {bridge}")))
}

fn but(fine: Errno, done: Result<(), Failed>) -> Result<(), Failed> {
    match done {
        Err(failed) if failed.errno() == fine => Ok(()),
        done => done,
    }
}

/// `struct rtmsg`: family, prefix lengths of destination and source, service, table, protocol (static), scope, type.
fn black_hole(kind: u16, flags: u16, (base, prefix): (Ipv4Addr, u8)) -> Request {
    let header = [2, prefix, 0, 0, TABLE, 4, 0, BLACK_HOLE, 0, 0, 0, 0];
    Request::new(kind, flags, &header).with(1, &base.octets())
}

/// `struct fib_rule_hdr`: family, prefix lengths, service, table, two unused, action, flags.
fn rule(kind: u16, flags: u16, bridge: &str, internal: bool) -> Request {
    let (table, action) = if internal { (0, BLACK_HOLE) } else { (TABLE, TO_TABLE) };
    Request::new(kind, flags, &[2, 0, 0, 0, table, 0, 0, action, 0, 0, 0, 0])
        .with(3, &[bridge.as_bytes(), &[0]].concat())
        .with(6, &PRIORITY.to_ne_bytes())
}
