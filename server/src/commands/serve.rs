//! `isolab serve`

use crate::agent_client::AgentProcess;
use crate::home::Home;
use crate::live::Agents;
use crate::presence::Presence;
use crate::serving::Server;
use anyhow::{Context, bail};
use clap::Args;
use isolab_lessons::Course;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Serve the lessons to your browser
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// The address to listen on; it has to be one of this machine's own (127.0.0.1 or [::1])
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

impl Serve {
    pub async fn run(self, home: &Home) -> anyhow::Result<ExitCode> {
        if !self.listen.ip().is_loopback() {
            bail!(
                "{} can be reached by others, and whoever reaches Isolab can open labs on this machine; \
                 listen on 127.0.0.1 or [::1]",
                self.listen
            );
        }
        home.make()
            .with_context(|| format!("the state directory {} cannot be made", home.path().display()))?;
        let listener = TcpListener::bind(self.listen).await.with_context(|| self.taken())?;
        let course = Arc::new(Course::open().context("the lessons cannot be read")?);
        for finding in &course.findings {
            tracing::warn!("a lesson is left out: {finding}");
        }
        let server = Server::start(listener, &home.database(), course, Agents::Of(home.clone()))
            .await
            .with_context(|| format!("the database {} cannot be used", home.database().display()))?;
        let _presence = Presence::announce(home, server.address().port())
            .with_context(|| format!("{} cannot be written", home.run().display()))?;
        say(&format!("Isolab is at http://{}/", server.address()));
        let home = home.clone();
        // The agent is ready, or has said what it lacks, before the first page asks for a lab.
        let warm = tokio::spawn(async move {
            if let Err(error) = AgentProcess::shared(&home, |what| tracing::info!("{what}")).await {
                tracing::error!("{error}");
                eprintln!(
                    "{}",
                    error.mend().unwrap_or("The pages can be read, but labs cannot be opened yet.")
                );
            }
        });
        interrupted().await?;
        warm.abort();
        server.end().await;
        say("\nIsolab has ended. Labs go on and are there again next time; `isolab stop` ends them.");
        Ok(ExitCode::SUCCESS)
    }

    fn taken(&self) -> String {
        let other = SocketAddr::new(self.listen.ip(), self.listen.port().saturating_add(1));
        format!(
            "cannot listen on {}; if another program does (perhaps another `isolab serve`), \
             choose another address: isolab serve --listen {other}",
            self.listen
        )
    }
}

/// Says it to whoever reads standard output; if nobody does any more, the server goes on.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Resolves on Ctrl-C or SIGTERM. A second one ends the program at once.
async fn interrupted() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        std::process::exit(130);
    });
    Ok(())
}
