//! Learners and their progress, in SQLite. Nothing is judged here: what passed is told to the store.
//!
//! There is one writing connection, so that writers wait in line here instead of finding the database busy, and
//! a few reading ones. A lesson, a check or a block that is no longer in the course stays in the store.

use isolab_protocol::page::PassView;
use isolab_protocol::{LabId, Verdict};
use sha2::{Digest, Sha256};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Row, Sqlite, Transaction};
use std::collections::HashMap;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Readers at once; a page needs one for about a millisecond.
const READERS_MAX: u32 = 4;

/// How long a statement waits for another process, for example a backup, to let go of the database.
const BUSY_WAIT_MAX: Duration = Duration::from_secs(5);

/// Whose progress it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Learner(i64);

impl Learner {
    /// Whoever sits at this machine: Isolab on a loopback address has one learner.
    pub const LOCAL: Self = Self(1);
}

/// The answer given to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredAnswer {
    /// The latest choice, counted from 0.
    pub choice: u32,
    /// How many answers there were.
    pub tries: u32,
}

/// The progress of all learners.
#[derive(Clone, Debug)]
pub struct Store {
    writer: SqlitePool,
    readers: SqlitePool,
}

/// A result of the store. An error means that the database cannot be read or written.
pub type Result<T> = std::result::Result<T, sqlx::Error>;

impl Store {
    /// Opens the database, makes it where it is missing, and brings its tables up to date.
    /// Only its owner may read it; the write-ahead log takes over its mode.
    pub async fn open(path: &Path) -> Result<Self> {
        OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            // With a write-ahead log this loses no committed pass when the server is killed.
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(BUSY_WAIT_MAX);
        let writer = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
        sqlx::migrate!("./migrations").run(&writer).await?;
        let readers = SqlitePoolOptions::new().max_connections(READERS_MAX);
        let readers = readers.connect_lazy_with(options.read_only(true));
        Ok(Self { writer, readers })
    }

    /// Closes the database in good order: the write-ahead log is folded in.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Begins to write. IMMEDIATE takes the write lock at once: a lock that is upgraded later can fail at once.
    async fn write(&self) -> Result<Transaction<'static, Sqlite>> {
        self.writer.begin_with("BEGIN IMMEDIATE").await
    }

    /// Notes that a learner has opened a lesson.
    pub async fn visit(&self, learner: Learner, lesson: &str) -> Result<()> {
        let mut write = self.write().await?;
        sqlx::query(
            "INSERT INTO visits (learner, lesson, visited_at) VALUES (?, ?, ?)
             ON CONFLICT DO UPDATE SET visited_at = excluded.visited_at",
        )
        .bind(learner.0)
        .bind(lesson)
        .bind(now())
        .execute(&mut *write)
        .await?;
        write.commit().await
    }

    /// The lessons that a learner has opened, the latest first.
    pub async fn visits(&self, learner: Learner) -> Result<Vec<String>> {
        sqlx::query_scalar("SELECT lesson FROM visits WHERE learner = ? ORDER BY visited_at DESC, lesson")
            .bind(learner.0)
            .fetch_all(&self.readers)
            .await
    }

    /// The name of a learner's lab for a lesson, and whether it had been named before.
    pub async fn lab(&self, learner: Learner, lesson: &str) -> Result<(LabId, bool)> {
        let derived = lab_name(learner, lesson);
        let mut write = self.write().await?;
        let made = sqlx::query(
            "INSERT INTO labs (learner, lesson, lab, opened_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(learner.0)
        .bind(lesson)
        .bind(&derived)
        .bind(now())
        .execute(&mut *write)
        .await?;
        let name: String = sqlx::query_scalar("SELECT lab FROM labs WHERE learner = ? AND lesson = ?")
            .bind(learner.0)
            .bind(lesson)
            .fetch_one(&mut *write)
            .await?;
        write.commit().await?;
        let id = name.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        Ok((id, made.rows_affected() == 0))
    }

    /// Stores the first pass of a check; `true` where this is it.
    pub async fn pass(&self, learner: Learner, lesson: &str, verdict: &Verdict) -> Result<bool> {
        let evidence =
            serde_json::to_string(&verdict.evidence).map_err(|e| sqlx::Error::Encode(Box::new(e)))?;
        let mut write = self.write().await?;
        let stored = sqlx::query(
            "INSERT INTO passes (learner, lesson, check_name, passed_at, message, evidence)
             VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(learner.0)
        .bind(lesson)
        .bind(&verdict.check)
        .bind(now())
        .bind(&verdict.message)
        .bind(evidence)
        .execute(&mut *write)
        .await?;
        write.commit().await?;
        Ok(stored.rows_affected() > 0)
    }

    /// The checks of a lesson that have passed, in the order in which they did.
    pub async fn passes(&self, learner: Learner, lesson: &str) -> Result<Vec<PassView>> {
        let rows = sqlx::query(
            "SELECT check_name, passed_at, message, evidence FROM passes
             WHERE learner = ? AND lesson = ? ORDER BY passed_at, check_name",
        )
        .bind(learner.0)
        .bind(lesson)
        .fetch_all(&self.readers)
        .await?;
        rows.iter()
            .map(|row| {
                let evidence: &str = row.try_get("evidence")?;
                Ok(PassView {
                    check: row.try_get("check_name")?,
                    passed_at_ms: row.try_get::<i64, _>("passed_at")?.unsigned_abs(),
                    message: row.try_get("message")?,
                    evidence: serde_json::from_str(evidence).map_err(|e| sqlx::Error::Decode(Box::new(e)))?,
                })
            })
            .collect()
    }

    /// The names of the checks that have passed, by lesson.
    pub async fn passes_by_lesson(&self, learner: Learner) -> Result<HashMap<String, Vec<String>>> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT lesson, check_name FROM passes WHERE learner = ?")
                .bind(learner.0)
                .fetch_all(&self.readers)
                .await?;
        let mut by_lesson = HashMap::<_, Vec<_>>::new();
        for (lesson, check) in rows {
            by_lesson.entry(lesson).or_default().push(check);
        }
        Ok(by_lesson)
    }

    /// Stores an answer, and returns the answer that counts: where `once`, the first one.
    pub async fn answer(
        &self,
        learner: Learner,
        lesson: &str,
        block: &str,
        choice: u32,
        once: bool,
    ) -> Result<StoredAnswer> {
        let mut write = self.write().await?;
        let row = sqlx::query(
            "INSERT INTO answers (learner, lesson, block, first_choice, choice, tries, answered_at)
             VALUES (?1, ?2, ?3, ?4, ?4, 1, ?5)
             ON CONFLICT DO UPDATE SET
                 choice = iif(?6, choice, excluded.choice),
                 tries = iif(?6, tries, min(tries + 1, 1000000)),
                 answered_at = iif(?6, answered_at, excluded.answered_at)
             RETURNING choice, tries",
        )
        .bind(learner.0)
        .bind(lesson)
        .bind(block)
        .bind(choice)
        .bind(now())
        .bind(once)
        .fetch_one(&mut *write)
        .await?;
        write.commit().await?;
        Ok(StoredAnswer { choice: row.try_get(0)?, tries: row.try_get(1)? })
    }

    /// The answers given in a lesson, by block.
    pub async fn answers(&self, learner: Learner, lesson: &str) -> Result<HashMap<String, StoredAnswer>> {
        let rows: Vec<(String, u32, u32)> =
            sqlx::query_as("SELECT block, choice, tries FROM answers WHERE learner = ? AND lesson = ?")
                .bind(learner.0)
                .bind(lesson)
                .fetch_all(&self.readers)
                .await?;
        Ok(rows.into_iter().map(|(block, choice, tries)| (block, StoredAnswer { choice, tries })).collect())
    }

    /// Notes that a learner has asked for the next hint of a block, and returns how often they have. It is
    /// counted up to `times_max`: more cannot be opened.
    pub async fn ask(&self, learner: Learner, lesson: &str, block: &str, times_max: u32) -> Result<u32> {
        let mut write = self.write().await?;
        let times = sqlx::query_scalar(
            "INSERT INTO asks (learner, lesson, block, times, asked_at) VALUES (?1, ?2, ?3, min(1, ?4), ?5)
             ON CONFLICT DO UPDATE SET times = min(times + 1, ?4), asked_at = excluded.asked_at
             RETURNING times",
        )
        .bind(learner.0)
        .bind(lesson)
        .bind(block)
        .bind(times_max)
        .bind(now())
        .fetch_one(&mut *write)
        .await?;
        write.commit().await?;
        Ok(times)
    }

    /// How often a learner has asked in a lesson, by block.
    pub async fn asks(&self, learner: Learner, lesson: &str) -> Result<HashMap<String, u32>> {
        let rows: Vec<(String, u32)> =
            sqlx::query_as("SELECT block, times FROM asks WHERE learner = ? AND lesson = ?")
                .bind(learner.0)
                .bind(lesson)
                .fetch_all(&self.readers)
                .await?;
        Ok(rows.into_iter().collect())
    }
}

/// A lab's name: readable in a list, and the same whenever it is asked for. The digits keep lessons apart
/// whose names are cut to the same end.
fn lab_name(learner: Learner, lesson: &str) -> String {
    let readable = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
    let last = lesson.rsplit('/').next().unwrap_or(lesson);
    let last: String = last.chars().take(18).map(readable).collect();
    let digest = Sha256::digest(lesson);
    format!("l{}-{last}-{:02x}{:02x}{:02x}{:02x}", learner.0, digest[0], digest[1], digest[2], digest[3])
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use isolab_protocol::{Evidence, VerdictState};

    const ME: Learner = Learner::LOCAL;

    async fn store(folder: &tempfile::TempDir) -> Store {
        Store::open(&folder.path().join("isolab.db")).await.unwrap()
    }

    fn verdict(message: &str) -> Verdict {
        let evidence = Evidence { wanted: "1".into(), saw: "1".into(), place: "/proc/3816/status".into() };
        let state = VerdictState::Passed;
        Verdict { check: "own-pid".into(), state, message: message.into(), evidence: vec![evidence] }
    }

    #[tokio::test]
    async fn the_first_pass_stays_whatever_comes_later() {
        let folder = tempfile::tempdir().unwrap();
        let first = store(&folder).await;
        assert!(first.pass(ME, "a/1", &verdict("first")).await.unwrap());
        assert!(!first.pass(ME, "a/1", &verdict("second")).await.unwrap());
        // Not closed: as if the server had been killed.
        let again = store(&folder).await;
        let passes = again.passes(ME, "a/1").await.unwrap();
        assert_eq!(passes.len(), 1);
        assert_eq!((passes[0].message.as_str(), &passes[0].evidence), ("first", &verdict("").evidence));
        assert_eq!(again.passes_by_lesson(ME).await.unwrap()["a/1"], ["own-pid"]);
        assert!(again.passes(ME, "a/2").await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_prediction_is_kept_and_a_quiz_is_retried() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        store.answer(ME, "l", "predict", 2, true).await.unwrap();
        let kept = store.answer(ME, "l", "predict", 0, true).await.unwrap();
        assert_eq!(kept, StoredAnswer { choice: 2, tries: 1 });
        store.answer(ME, "l", "quiz", 2, false).await.unwrap();
        let latest = store.answer(ME, "l", "quiz", 0, false).await.unwrap();
        assert_eq!(latest, StoredAnswer { choice: 0, tries: 2 });
        assert_eq!(store.answers(ME, "l").await.unwrap()["quiz"], latest);
    }

    #[tokio::test]
    async fn asks_are_counted_as_far_as_there_is_something_to_open() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        for wanted in [1, 2, 2] {
            assert_eq!(store.ask(ME, "l", "hint", 2).await.unwrap(), wanted);
        }
        assert_eq!(store.asks(ME, "l").await.unwrap()["hint"], 2);
    }

    #[tokio::test]
    async fn a_lab_keeps_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        let (first, known) = store.lab(ME, "namespaces/02-pid").await.unwrap();
        assert!(!known);
        assert_eq!(store.lab(ME, "namespaces/02-pid").await.unwrap(), (first.clone(), true));
        let (other, _) = store.lab(ME, "mounts/02-pid").await.unwrap();
        assert_ne!(first, other);
        assert!(first.as_str().starts_with("l1-02-pid-"), "{first}");
    }

    #[tokio::test]
    async fn writers_wait_for_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        let asks = (0..50).map(|_| store.ask(ME, "l", "hint", 100));
        for asked in futures_util::future::join_all(asks).await {
            asked.unwrap();
        }
        assert_eq!(store.asks(ME, "l").await.unwrap()["hint"], 50);
    }
}
