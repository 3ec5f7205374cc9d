//! How everything hears that the server is to end.

use tokio::sync::watch;

/// Waits until the server is told to end.
pub(crate) async fn told(closing: &mut watch::Receiver<bool>) {
    // A sender that is gone ends the server too.
    let _ = closing.wait_for(|closing| *closing).await;
}
