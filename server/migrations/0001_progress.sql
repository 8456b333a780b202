-- Learners and how far they are. Times are milliseconds since 1970.

CREATE TABLE learners (
    id           INTEGER PRIMARY KEY,
    name         TEXT    NOT NULL,
    created_at   INTEGER NOT NULL
) STRICT;

-- Whoever sits at this machine. Classrooms add others.
INSERT INTO learners (id, name, created_at) VALUES (1, 'you', unixepoch() * 1000);

-- When a learner last opened a lesson: "continue where you left".
CREATE TABLE visits (
    learner      INTEGER NOT NULL REFERENCES learners (id) ON DELETE CASCADE,
    lesson       TEXT    NOT NULL,
    visited_at   INTEGER NOT NULL,
    PRIMARY KEY (learner, lesson)
) STRICT, WITHOUT ROWID;

-- The lab of a learner for a lesson, by its name at the agent. It is found again after a restart.
CREATE TABLE labs (
    learner      INTEGER NOT NULL REFERENCES learners (id) ON DELETE CASCADE,
    lesson       TEXT    NOT NULL,
    lab          TEXT    NOT NULL UNIQUE,
    opened_at    INTEGER NOT NULL,
    PRIMARY KEY (learner, lesson)
) STRICT, WITHOUT ROWID;

-- The first pass of a check, with the evidence for it. It is never taken back.
CREATE TABLE passes (
    learner      INTEGER NOT NULL REFERENCES learners (id) ON DELETE CASCADE,
    lesson       TEXT    NOT NULL,
    check_name   TEXT    NOT NULL,
    passed_at    INTEGER NOT NULL,
    message      TEXT    NOT NULL,
    evidence     TEXT    NOT NULL, -- JSON: [{"wanted", "saw", "place"}]
    PRIMARY KEY (learner, lesson, check_name)
) STRICT, WITHOUT ROWID;

-- The answer to a question: the first one given, the latest one, and how many there were.
CREATE TABLE answers (
    learner      INTEGER NOT NULL REFERENCES learners (id) ON DELETE CASCADE,
    lesson       TEXT    NOT NULL,
    block        TEXT    NOT NULL,
    first_choice INTEGER NOT NULL,
    choice       INTEGER NOT NULL,
    tries        INTEGER NOT NULL,
    answered_at  INTEGER NOT NULL,
    PRIMARY KEY (learner, lesson, block)
) STRICT, WITHOUT ROWID;

-- How often a learner has asked for the next hint of a block, or for a solution.
CREATE TABLE asks (
    learner      INTEGER NOT NULL REFERENCES learners (id) ON DELETE CASCADE,
    lesson       TEXT    NOT NULL,
    block        TEXT    NOT NULL,
    times        INTEGER NOT NULL,
    asked_at     INTEGER NOT NULL,
    PRIMARY KEY (learner, lesson, block)
) STRICT, WITHOUT ROWID;
