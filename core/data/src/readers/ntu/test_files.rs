//! Files in NTU's text format, made for tests.

use super::parse::JOINTS;

/// Tracking id and joints.
pub(crate) type Body = (u64, [[f32; 3]; JOINTS]);

/// The text of a recording, with the line ends of the originals.
pub(crate) fn file(frames: &[Vec<Body>]) -> String {
    let mut out = format!("{}\r\n", frames.len());
    for bodies in frames {
        out += &format!("{}\r\n", bodies.len());
        for (id, joints) in bodies {
            out += &format!("{id} 0 1 1 1 1 0 0.02 -0.15 2\r\n{JOINTS}\r\n");
            for [x, y, z] in joints {
                out += &format!("{x} {y} {z} 195.2 199.8 782.7 504.5 0 0 0 0 2\r\n");
            }
        }
    }
    out
}
