//! The channel of webhooks: a signed POST.
//!
//! The receiver checks `X-Wardline-Signature`, which is `sha256=` and the HMAC-SHA256 of the body in hex under the shared
//! key, and tells repetitions by `X-Wardline-Notification`. Any 2xx is delivered; everything else is tried again, also a
//! refusal, because a receiver that is mended should still hear of an alert.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::SendError;
use super::message::Message;
use super::outbox::Notification;
use crate::config;
use crate::intake::connect::{self, ConnectError};

/// Posts notifications.
#[derive(Debug)]
pub struct Webhook {
    http: reqwest::Client,
    key: Option<Vec<u8>>,
}

impl Webhook {
    /// Reads the key, if there is one.
    ///
    /// # Errors
    /// When the key's file can't be read, or no HTTP client can be made.
    pub fn new(config: &config::Notify) -> Result<Self, ConnectError> {
        let key = config.webhook_key_file.as_deref().map(connect::secret).transpose()?;
        let http = reqwest::Client::builder()
            .timeout(config.webhook_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| ConnectError::Identity(error.to_string()))?;
        Ok(Self { http, key: key.map(String::into_bytes) })
    }

    /// Posts one notification to its recipient's address.
    ///
    /// # Errors
    /// When it is not known to be delivered.
    pub async fn send(&self, notification: &Notification) -> Result<(), SendError> {
        let body = Message::new(notification).json();
        let mut request = self
            .http
            .post(&notification.recipient.address)
            .header("content-type", "application/json")
            .header("x-wardline-notification", &notification.id)
            .header("idempotency-key", &notification.id);
        if let Some(key) = &self.key {
            request = request.header("x-wardline-signature", signature(key, &body));
        }
        let response = request.body(body).send().await.map_err(|error| {
            // Without the URL: it may hold a secret of the receiver.
            SendError { reason: format!("webhook: {}", error.without_url()), after: None }
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        Err(SendError { reason: format!("webhook: answered {status}"), after: after.map(Duration::from_secs) })
    }
}

/// `sha256=` and the HMAC-SHA256 of the body in hex.
fn signature(key: &[u8], body: &[u8]) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    mac.update(body);
    let mut text = "sha256=".to_owned();
    for byte in mac.finalize().into_bytes() {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    #[test]
    fn the_signature_is_that_of_the_published_test_vector() {
        let expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signature(b"Jefe", b"what do ya want for nothing?"), expected);
    }
}
