//! Further providers, by delegated routing: asked when those that are known cannot serve.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use crate::content::cid::Cid;
use crate::engine::coordinator::Coordinator;
use crate::engine::input::Input;
use crate::engine::provider::{Place, Provider};
use crate::event::What;
use crate::gateway::address::Reach;
use crate::gateway::capability::Capabilities;
use crate::gateway::client::Client;
use crate::gateway::rate::RateLimit;
use crate::gateway::request::Gateway;
use crate::gateway::routing::Router;

/// All routers together may take this long.
const PATIENCE: Duration = Duration::from_secs(15);
/// Providers that are taken up at the most.
const MAX_PROVIDERS: usize = 16;

/// Where further providers can be found.
#[derive(Debug, Clone)]
pub struct Discovery {
    /// The first one's word counts first; with the addresses that what they name may have.
    pub routers: Vec<(Router, Reach)>,
    /// Connections, from which those to strangers are made.
    pub client: Client,
    /// Bytes per second, all together.
    pub rate: Option<Arc<RateLimit>>,
    /// Whether they are asked at once, not only when nobody else is left.
    pub is_eager: bool,
}

/// How far the search has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Search {
    /// Nobody was asked.
    #[default]
    NotBegun,
    /// The routers are being asked.
    UnderWay,
    /// They have answered.
    Over,
}

impl Discovery {
    /// Asks all routers at once who has it. Whoever has answered in time counts.
    pub(super) async fn find(&self, root: &Cid) -> Vec<(String, Reach)> {
        let mut found = vec![Vec::new(); self.routers.len()];
        let asked = self.routers.iter().zip(&mut found);
        let asked = asked.map(|((router, reach), found)| ask(router, *reach, root, found));
        let is_late = tokio::time::timeout(PATIENCE, join_all(asked)).await;
        let (is_late, found) = (is_late.is_err(), found.concat());
        tracing::debug!(
            is_late,
            count = found.len(),
            "providers by delegated routing"
        );
        found
    }

    /// Adds those that are new to the providers, as many as are taken up; how many.
    pub(super) fn take_up(
        &self,
        found: Vec<(String, Reach)>,
        providers: &mut Vec<Provider>,
    ) -> usize {
        let before = providers.len();
        for (url, reach) in found {
            let is_known = providers.iter().any(|provider| provider.url() == url);
            let client = self.client.discovered(reach);
            let gateway = Gateway::new(client, &url, Vec::new(), self.rate.clone());
            let Ok(gateway) = gateway else { continue };
            if !is_known && providers.len() < before + MAX_PROVIDERS {
                let place = Place::Http(gateway);
                providers.push(Provider::new(place, url, Capabilities::default()));
            }
        }
        providers.len() - before
    }
}

impl Coordinator<'_> {
    /// Begins the search for further providers, if that is wanted and was not done; whether it
    /// has begun, or goes on.
    pub(super) fn search(&mut self) -> bool {
        let (Some(discovery), Some(root)) = (self.options.discovery.clone(), self.root()) else {
            return false;
        };
        if self.search != Search::NotBegun {
            return self.search == Search::UnderWay;
        }
        self.search = Search::UnderWay;
        let inputs = self.inputs.clone();
        self.net.set.spawn(async move {
            let found = discovery.find(&root).await;
            // Nobody listens any more only when the download is over.
            let _ = inputs.send(Input::Discovered(found));
        });
        true
    }

    pub(super) fn on_discovered(&mut self, found: Vec<(String, Reach)>) {
        self.search = Search::Over;
        let Some(discovery) = self.options.discovery.clone() else {
            return;
        };
        let new = discovery.take_up(found, &mut self.providers);
        if new > 0 {
            let message = format!("delegated routing names {new} more that may have it");
            self.announce(What::Notice { message });
        }
    }
}

/// Asks one router.
async fn ask(router: &Router, reach: Reach, root: &Cid, found: &mut Vec<(String, Reach)>) {
    let mut answer = match router.providers(root, reach).await {
        Ok(answer) => answer,
        Err(error) => return tracing::debug!(%error, "a router does not answer"),
    };
    while found.len() < 4 * MAX_PROVIDERS {
        match answer.next().await {
            Ok(Some(provider)) => found.push((provider.url, reach)),
            Ok(None) => break,
            Err(error) => {
                tracing::debug!(%error, "the answer of a router broke off");
                break;
            }
        }
    }
}
