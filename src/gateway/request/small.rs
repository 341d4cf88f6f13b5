//! Requests for a small answer of one media type: IPNS records, messages of the DNS.

use bytes::Bytes;
use reqwest::StatusCode;

use crate::gateway::client::Traffic;
use crate::gateway::error::{Fault, GatewayError};
use crate::gateway::request::{Ask, Gateway, beginning};
use crate::gateway::response;

impl Gateway {
    /// GETs `url`, which must lie below this gateway: the headers of the gateway go with it. At
    /// most `max` bytes, of exactly this media type.
    ///
    /// # Errors
    /// Any [`Fault`]; [`Fault::WrongType`] for any other media type, and for none.
    pub(in crate::gateway) async fn small(
        &self,
        url: &str,
        media_type: &'static str,
        max: u64,
    ) -> Result<Bytes, GatewayError> {
        let response = self.ask(Ask::get(url, media_type, Traffic::Block)).await?;
        let mut response = self.expect(response, &[StatusCode::OK], url).await?;
        let got = response::media_type(response.headers());
        if got.as_deref() != Some(media_type) {
            let excerpt = response::excerpt(&beginning(&mut response).await);
            let got = got.unwrap_or_else(|| "no media type".to_owned());
            let fault = Fault::WrongType {
                wanted: media_type,
                got,
                excerpt,
            };
            return Err(GatewayError::new(url, fault));
        }
        let extent = response::check_block_length(response.headers(), max)
            .map_err(|fault| GatewayError::new(url, fault))?;
        self.body(response, url, extent).collect().await
    }
}
