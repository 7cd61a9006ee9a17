//! Bodies that show a sign of life whenever a message passes.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http_body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use super::{
    accounts::Held,
    activity::{Activity, OpenCall},
};

/// A place among the streams of all, and among those of an account if it is one's.
pub(super) type StreamPlace = (OwnedSemaphorePermit, Option<Held>);

/// What comes from a client.
pub(super) struct Heard<B> {
    body: B,
    activity: Arc<Activity>,
}

/// What goes to a client. The call is open, and its place among the streams taken, until the last
/// byte is.
pub(super) struct Taken<B> {
    body: B,
    call: OpenCall,
    _stream: Option<StreamPlace>,
}

impl<B> Heard<B> {
    pub(super) const fn new(body: B, activity: Arc<Activity>) -> Self {
        Self { body, activity }
    }
}

impl<B> Taken<B> {
    pub(super) const fn new(body: B, call: OpenCall, stream: Option<StreamPlace>) -> Self {
        Self { body, call, _stream: stream }
    }
}

impl<B: Body + Unpin> Body for Heard<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_ready() {
            self.activity.touch();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B: Body + Unpin> Body for Taken<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_ready() {
            self.call.touch();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
