//! Terminals told as short stories: a learner, an observer, a reconnect, a flood.

use super::screen::Size;
use super::session::{CLIENTS_MAX, ClientId, INPUT_BYTES_MAX, Session};
use isolab_protocol::terminal::{ServerFrame, UNACKNOWLEDGED_BYTES_HIGH, UNACKNOWLEDGED_BYTES_LOW};

const SIZE: Size = Size { cols: 40, rows: 10 };

fn join(session: &mut Session, last_seq: u64) -> ClientId {
    let id = session.attach().expect("room for a client");
    if session.hello(id, last_seq, SIZE) {
        session.started(SIZE);
    }
    id
}

/// All that is to be sent to a client now: its output as text, and the other frames.
fn drain(session: &mut Session, id: ClientId) -> (String, Vec<ServerFrame>) {
    let (mut text, mut others) = (Vec::new(), Vec::new());
    while let Some(frame) = session.next_frame(id) {
        match frame {
            ServerFrame::Output { bytes, .. } => text.extend(bytes),
            other => others.push(other),
        }
    }
    (String::from_utf8_lossy(&text).into_owned(), others)
}

#[test]
fn nothing_is_sent_before_hello() {
    let mut session = Session::default();
    let id = session.attach().unwrap();
    session.output(b"secret");
    assert_eq!(session.next_frame(id), None);
}

#[test]
fn a_fresh_client_gets_everything_and_a_returning_one_the_rest() {
    let mut session = Session::default();
    let first = join(&mut session, 0);
    session.output(b"hello ");
    assert_eq!(drain(&mut session, first).0, "hello ");
    session.detach(first);
    session.output(b"world");
    let back = join(&mut session, 6);
    assert_eq!(drain(&mut session, back), ("world".into(), vec![]));
    let fresh = join(&mut session, 0);
    assert_eq!(drain(&mut session, fresh).0, "hello world");
}

#[test]
fn where_the_ring_has_moved_on_a_picture_comes_instead() {
    let mut session = Session::default();
    let first = join(&mut session, 0);
    session.detach(first);
    for n in 0..30_000 {
        session.output(format!("line {n} of a flood of output that nobody reads\r\n").as_bytes());
    }
    session.output(b"end$ ");
    let back = join(&mut session, 6);
    let (text, others) = drain(&mut session, back);
    assert_eq!(text, "");
    let [ServerFrame::Snapshot { screen, .. }] = &others[..] else { panic!("{others:?}") };
    let screen = String::from_utf8_lossy(screen);
    assert!(screen.contains("line 29999") && screen.contains("end$"), "{screen}");
}

#[test]
fn a_client_from_an_earlier_life_gets_a_picture() {
    let mut session = Session::default();
    let id = join(&mut session, 9_999_999);
    assert!(matches!(session.next_frame(id), Some(ServerFrame::Snapshot { seq: 0, .. })));
}

#[test]
fn the_learner_holds_the_shell_back_and_an_observer_does_not() {
    let mut session = Session::default();
    let observer = join(&mut session, 0);
    let learner = join(&mut session, 0);
    let block = vec![b'x'; 64 * 1024];
    let mut printed = 0;
    while !session.held() {
        session.output(&block);
        printed += block.len() as u64;
        drain(&mut session, learner);
    }
    assert!(printed > UNACKNOWLEDGED_BYTES_HIGH && printed <= UNACKNOWLEDGED_BYTES_HIGH + 64 * 1024);
    session.acknowledge(learner, printed - UNACKNOWLEDGED_BYTES_LOW - 1);
    assert!(session.held(), "it goes on only at the low mark");
    drain(&mut session, learner);
    session.acknowledge(learner, printed - UNACKNOWLEDGED_BYTES_LOW);
    assert!(!session.held());
    // The observer never acknowledged a byte: it was sent no more than the window, and stalls only itself.
    let (text, _) = drain(&mut session, observer);
    assert!(text.len() as u64 <= UNACKNOWLEDGED_BYTES_HIGH + 64 * 1024);
}

#[test]
fn an_observer_that_falls_behind_skips_ahead() {
    let mut session = Session::default();
    let observer = join(&mut session, 0);
    let learner = join(&mut session, 0);
    for _ in 0..40 {
        session.output(&vec![b'y'; 64 * 1024]);
        let (_, _) = drain(&mut session, learner);
        session.acknowledge(learner, u64::MAX);
    }
    let (text, others) = drain(&mut session, observer);
    assert!(text.is_empty());
    assert!(others.iter().any(|f| matches!(f, ServerFrame::Snapshot { .. })), "{others:?}");
}

#[test]
fn acknowledging_more_than_was_sent_opens_no_window() {
    let mut session = Session::default();
    let id = join(&mut session, 0);
    session.acknowledge(id, u64::MAX);
    session.output(&vec![b'z'; 2 * UNACKNOWLEDGED_BYTES_HIGH as usize]);
    assert!(session.held());
    let (text, _) = drain(&mut session, id);
    assert!(text.len() as u64 <= UNACKNOWLEDGED_BYTES_HIGH + 64 * 1024);
}

#[test]
fn a_learner_that_never_acknowledges_is_given_up_and_gets_a_picture() {
    let mut session = Session::default();
    let id = join(&mut session, 0);
    session.output(&vec![b'z'; 2 * UNACKNOWLEDGED_BYTES_HIGH as usize]);
    assert!(session.held());
    session.give_up_on_learner();
    assert!(!session.held());
    assert!(matches!(session.next_frame(id), Some(ServerFrame::Snapshot { .. })));
}

#[test]
fn only_the_newest_client_types() {
    let mut session = Session::default();
    let old = join(&mut session, 0);
    let new = join(&mut session, 0);
    session.input(old, b"rm");
    session.input(new, b"ls");
    assert_eq!(session.input_waiting(), b"ls");
    let (_, told) = drain(&mut session, old);
    assert!(matches!(&told[..], [ServerFrame::State { .. }]), "the older page is told: {told:?}");
    session.detach(new);
    session.input(old, b"!");
    assert_eq!(session.input_waiting(), b"ls!");
    session.input_written(2);
    assert_eq!(session.input_waiting(), b"!");
}

#[test]
fn input_that_nobody_reads_is_bounded_and_the_learner_is_told_once() {
    let mut session = Session::default();
    let id = join(&mut session, 0);
    for _ in 0..100 {
        session.input(id, &[b'k'; 60_000]);
    }
    assert_eq!(session.input_waiting().len(), INPUT_BYTES_MAX);
    let (_, told) = drain(&mut session, id);
    assert_eq!(told.len(), 1, "{told:?}");
}

#[test]
fn a_storm_of_resizes_is_one_resize() {
    let mut session = Session::default();
    let observer = join(&mut session, 0);
    let learner = join(&mut session, 0);
    session.take_resize();
    drain(&mut session, observer);
    for n in 0..10_000_u16 {
        session.resize(learner, Size { cols: n % 500 + 1, rows: 7 });
        session.resize(observer, Size { cols: 3, rows: 3 });
    }
    assert_eq!(session.take_resize(), Some(Size { cols: 500, rows: 7 }));
    assert_eq!(session.take_resize(), None);
    let (_, told) = drain(&mut session, observer);
    assert!(matches!(&told[..], [ServerFrame::Snapshot { cols: 500, rows: 7, .. }]), "{told:?}");
}

#[test]
fn the_exit_comes_after_all_output_and_the_next_hello_opens_a_shell() {
    let mut session = Session::default();
    let id = join(&mut session, 0);
    session.output(b"logout");
    session.ended(3, None);
    assert_eq!(drain(&mut session, id), ("logout".into(), vec![ServerFrame::Exit { status: 3 }]));
    session.input(id, b"ignored");
    assert_eq!(session.input_waiting(), b"");
    assert!(session.hello(id, 6, SIZE), "a shell is wanted");
    assert!(!session.hello(id, 6, SIZE), "one is enough");
}

#[test]
fn clients_are_counted() {
    let mut session = Session::default();
    for _ in 0..CLIENTS_MAX {
        session.attach().unwrap();
    }
    assert_eq!(session.attach(), None);
}
