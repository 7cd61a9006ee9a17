//! Bodies that say when a message passes.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http_body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use super::{
    accounts::{Held, OpenCallPlace},
    activity::OpenCall,
};

/// A place among the streams of all, and among those of an account and its tenant if it is one's.
pub(super) type StreamPlace = (OwnedSemaphorePermit, Option<Held>);

/// What comes from a client.
pub(super) struct Heard<B> {
    body: B,
    call: Arc<OpenCall>,
}

/// What goes to a client. The call is open, and its places are taken, until the transport has taken
/// its last piece; the transport keeps at most `SEND_BUFFER_BYTES` and one message of it.
pub(super) struct Taken<B> {
    body: B,
    call: Arc<OpenCall>,
    _places: (Option<StreamPlace>, Option<OpenCallPlace>),
}

impl<B> Heard<B> {
    pub(super) const fn new(body: B, call: Arc<OpenCall>) -> Self {
        Self { body, call }
    }
}

impl<B> Taken<B> {
    pub(super) const fn new(
        body: B,
        call: Arc<OpenCall>,
        stream: Option<StreamPlace>,
        open_call: Option<OpenCallPlace>,
    ) -> Self {
        Self { body, call, _places: (stream, open_call) }
    }
}

macro_rules! watched_body {
    ($name:ident) => {
        impl<B: Body + Unpin> Body for $name<B> {
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
    };
}

watched_body!(Heard);
watched_body!(Taken);
