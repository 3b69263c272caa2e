//! How messages are encoded: protobuf with small buffers.

use std::marker::PhantomData;

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message;
use tonic::Streaming;
use tonic::codec::{BufferSettings, Codec};
use tonic::codegen::{Body, StdError};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

/// What a call holds in each direction while nothing is on its way. tonic's 8 KiB are for calls that
/// end soon; a watch stays open for weeks, and most messages are smaller than this. Larger ones get
/// a larger buffer.
const BUFFER_BYTES: usize = 512;

/// How many bytes that are ready are sent together at most; tonic's default.
const TOGETHER_BYTES: usize = 32 * 1024;

/// What gRPC puts before a message: whether it is compressed, and its length.
const HEAD_BYTES: usize = 5;

/// The messages that come in a call's body; one of more than `max_bytes` is an error.
pub fn messages<T, B>(body: B, max_bytes: usize) -> Streaming<T>
where
    T: Message + Default + Send + 'static,
    B: Body + Send + 'static,
    B::Error: Into<StdError>,
{
    let decoder = SmallBuffers::<(), T>::default().decoder();
    Streaming::new_request(decoder, body, None, Some(max_bytes))
}

/// `message` as it stands in a call's body.
///
/// # Panics
/// If it has 4 GiB or more, which no call takes.
pub fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(HEAD_BYTES + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).expect("messages are chunks"));
    message
        .encode(&mut frame)
        .expect("a buffer of bytes grows as needed");
    frame.freeze()
}

/// The codec of all calls.
#[derive(Debug)]
pub(crate) struct SmallBuffers<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for SmallBuffers<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for SmallBuffers<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(settings())
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(settings())
    }
}

fn settings() -> BufferSettings {
    BufferSettings::new(BUFFER_BYTES, TOGETHER_BYTES)
}
