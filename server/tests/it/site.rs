//! One server with a course of one lesson.

use crate::agent::StandIn;
use crate::browser::Browser;
use isolab::agent_client::AgentClient;
use isolab::live::Agents;
use isolab::serving::Server;
use isolab_lessons::Course;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::net::TcpListener;

/// The lesson of the test course.
pub const SLUG: &str = "boxes/01-a-box";

const LESSON: &str = r#"---
title: A <b>box</b>
level: beginner
minutes: 5
summary: One box.
needs: [user-namespaces]
---

Some *text*.

```run
docker run -d ubuntu
```

```predict id=guess
question: What?
choices:
  - {text: this, because: It is not.}
  - {text: that, right: true, because: It is.}
```

```quiz id=test
question: Which?
choices:
  - {text: one, right: true, because: Yes.}
  - {text: two, because: No.}
```

```check id=a-box exercise=box
title: a box is there
let:
  box: container("box")
pass: box != null
passed: There is a box.
evidence:
  - {wanted: a box, saw: 'string(containers.size())', place: '"the lab"'}
open:
  - say: There is no box.
```

```hint exercise=box
The first hint.
```
"#;

/// A server, its stand-in agent and its state directory.
pub struct Site {
    pub agent: StandIn,
    server: Server,
    home: TempDir,
}

impl Site {
    pub async fn open() -> Self {
        let home = tempfile::tempdir().unwrap();
        write_lessons(home.path());
        let agent = StandIn::start(&home.path().join("agent.sock"));
        let server = serve(home.path(), "127.0.0.1:0").await;
        Self { agent, server, home }
    }

    /// The server ends without a goodbye and is started again; the agent goes on.
    pub async fn restart(&mut self) {
        let again = serve(self.home.path(), "127.0.0.1:0").await;
        std::mem::replace(&mut self.server, again).end().await;
    }

    pub fn browser(&self) -> Browser {
        Browser::at(self.server.address())
    }

    pub async fn end(self) {
        self.server.end().await;
    }
}

async fn serve(home: &Path, address: &str) -> Server {
    let course = Course::read(&home.join("lessons")).unwrap();
    assert_eq!(course.findings, []);
    let agents = Agents::At(AgentClient::new(home.join("agent.sock")));
    let listener = TcpListener::bind(address).await.unwrap();
    Server::start(listener, &home.join("isolab.db"), Arc::new(course), agents).await.unwrap()
}

fn write_lessons(home: &Path) {
    for (path, text) in [
        ("parts.yaml", "- {id: boxes, title: Boxes, summary: About boxes.}\n"),
        ("boxes/01-a-box/lesson.md", LESSON),
        ("boxes/01-a-box/setup.sh", "touch /prepared\n"),
        ("boxes/01-a-box/box/solution.sh", "docker run -d --name box ubuntu sleep 60\n"),
        ("boxes/01-a-box/box/wrong/none.sh", "# says: There is no box.\ntrue\n"),
        ("boxes/01-a-box/box/cheats/lie.sh", "# says: There is no box.\necho box\n"),
    ] {
        let file = home.join("lessons").join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
}
