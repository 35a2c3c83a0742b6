//! What the fuzz targets check: evy's reading of a connection, beside that of `reference`.

mod reference;
mod requests;
mod responses;

pub use requests::check_requests;
pub use responses::check_response;

/// Cuts `bytes` into pieces, in a way that depends on the bytes only.
fn pieces(bytes: &[u8]) -> Vec<&[u8]> {
    let hash = |seed: u64, byte: &u8| (seed ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let mut random = bytes.iter().fold(0xcbf2_9ce4_8422_2325, hash);
    let largest = 1 + random % 64;
    let mut pieces = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let length = 1 + (random >> 33) % largest;
        let (piece, after) = rest.split_at(rest.len().min(length as usize));
        pieces.push(piece);
        rest = after;
    }
    pieces
}
