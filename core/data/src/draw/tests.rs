//! Pictures of whole sets, read back.

use szar_core::{BuildContext, Cancel, Dataset, DatasetConfig, SampleRole, Seed};
use tch::Device;

use super::*;
use crate::motion::ProceduralConfig;
use crate::toy::{Toy, standing};

fn procedural() -> Box<dyn Dataset> {
    let config = ProceduralConfig {
        samples_per_class: 6,
        persons: 2,
        ..ProceduralConfig::default()
    };
    let ctx = BuildContext {
        device: Device::Cpu,
        seed: Seed(0),
        cache: std::env::temp_dir(),
    };
    config.build(&ctx).unwrap()
}

fn sheet(dataset: &dyn Dataset, seed: Option<u64>) -> Scene {
    contact_sheet(dataset, &[], seed, &Cancel::default()).unwrap()
}

/// Size, and red, green, blue, alpha of every pixel.
fn decoded(file: &[u8]) -> (png::OutputInfo, Vec<u8>) {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(file));
    decoder.set_transformations(png::Transformations::normalize_to_color8() | png::Transformations::ALPHA);
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    (info, pixels)
}

#[test]
fn a_png_has_the_size_of_its_scene_and_the_same_bytes_again() {
    let dataset = procedural();
    let scene = sheet(dataset.as_ref(), None);
    let png = scene.to_png().unwrap();
    let (info, pixels) = decoded(&png);
    assert_eq!((info.width, info.height), (scene.width, scene.height));
    let painted = pixels.chunks_exact(4).filter(|p| p[3] > 0).count();
    let share = painted as f64 / (pixels.len() / 4) as f64;
    assert!((0.02..0.5).contains(&share), "{share}");
    assert_eq!(pixels[3], 0);
    let again = sheet(dataset.as_ref(), None);
    assert_eq!(again.to_png().unwrap(), png);
    assert_eq!(again.to_svg(), scene.to_svg());
}

#[test]
fn a_seed_chooses_other_sequences_and_the_same_ones_again() {
    let dataset = procedural();
    let [first, one, again] = [None, Some(1), Some(1)].map(|seed| sheet(dataset.as_ref(), seed));
    assert_eq!(one, again);
    assert_ne!(first, one);
}

#[test]
fn a_gif_has_a_picture_for_each_frame_at_the_speed_of_the_sequence() {
    let dataset = procedural();
    let sequence = dataset.load(3).unwrap();
    let gif = animation(dataset.as_ref(), 3).unwrap().to_gif().unwrap();
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::RGBA);
    let mut decoder = options.read_info(&gif[..]).unwrap();
    assert_eq!((decoder.width(), decoder.height()), (320, 372));
    let (mut pictures, mut hundredths, mut previous) = (0, 0, Vec::new());
    let mut changes = 0;
    while let Some(frame) = decoder.read_next_frame().unwrap() {
        assert_eq!((frame.width, frame.height), (320, 372));
        assert_eq!(frame.buffer[..4], [255; 4]);
        pictures += 1;
        hundredths += u32::from(frame.delay);
        changes += usize::from(*frame.buffer != previous);
        previous = frame.buffer.to_vec();
    }
    assert_eq!(pictures, sequence.frames);
    assert!((f64::from(hundredths) - sequence.frames as f64 * 100.0 / 30.0).abs() <= 0.5);
    assert_eq!(changes, pictures);
    assert_eq!(animation(dataset.as_ref(), 3).unwrap().to_gif().unwrap(), gif);
}

#[test]
fn what_cannot_be_drawn_is_passed_over_or_named() {
    let mut toy = Toy::new(&["walk", "never"]);
    toy.add("unread", 0, SampleRole::Train, None);
    let mut blank = standing(10, 0.0);
    blank.joints.fill(0.0);
    toy.add("blank", 0, SampleRole::Train, Some(blank));
    let none = contact_sheet(&toy, &[], None, &Cancel::default()).unwrap_err();
    assert!(none.to_string().contains("no usable sequence"), "{none}");
    toy.add("good", 0, SampleRole::Train, Some(standing(12, 0.0)));
    let svg = sheet(&toy, None).to_svg();
    assert!(
        svg.contains("12 frames") && svg.contains("nothing to draw"),
        "{svg}"
    );
    for (sample, why) in [(0, "frame 3"), (1, "no tracked joint"), (3, "beyond the 3")] {
        let error = animation(&toy, sample).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn names_cannot_break_the_svg() {
    let mut toy = Toy::new(&["</text><a b='&\">", "\u{0}\u{fffe}"]);
    toy.add("a", 0, SampleRole::Train, Some(standing(8, 0.0)));
    toy.add("b", 1, SampleRole::Train, Some(standing(8, 0.1)));
    let svg = sheet(&toy, None).to_svg();
    assert!(svg.contains("&lt;/text&gt;&lt;a b='&amp;"), "{svg}");
    assert!(!svg.contains("<a") && !svg.contains(['\u{0}', '\u{fffe}']));
    let mut open = 0;
    for event in svg::read(&svg).unwrap() {
        match event {
            svg::parser::Event::Tag("text", kind, _) => match kind {
                svg::node::element::tag::Type::Start => open += 1,
                svg::node::element::tag::Type::End => open -= 1,
                svg::node::element::tag::Type::Empty => panic!("words without words"),
            },
            svg::parser::Event::Error(error) => panic!("{error}"),
            _ => assert!((0..=1).contains(&open)),
        }
    }
    assert_eq!(open, 0);
}

#[test]
fn pixels_are_where_the_scene_says_in_its_colours() {
    let blue = Colour(0x1d, 0x9b, 0xd1);
    let point = |x, y| Point { x, y };
    let scene = Scene {
        width: 40,
        height: 20,
        title: String::new(),
        items: vec![
            Item::Lines {
                colour: blue,
                width: 4.0,
                lines: vec![[point(5.0, 10.0), point(15.0, 10.0)]],
            },
            Item::Dots {
                colour: Colour(0xb2, 0x3a, 0x2e),
                radius: 4.0,
                at: vec![point(30.0, 10.0)],
            },
        ],
    };
    let (info, pixels) = decoded(&scene.to_png().unwrap());
    let at = |x: usize, y: usize| &pixels[(y * info.width as usize + x) * 4..][..4];
    assert_eq!(at(10, 10), [0x1d, 0x9b, 0xd1, 255]);
    assert_eq!(at(30, 10), [0xb2, 0x3a, 0x2e, 255]);
    assert!(at(10, 4)[3] == 0 && at(22, 10)[3] == 0);
    let edge = at(26, 8)[3];
    assert!(0 < edge && edge < 255, "a smooth edge, {edge}");
}

#[test]
fn a_picture_beyond_all_bounds_is_refused() {
    let scene = Scene {
        width: 100_000,
        height: 100_000,
        title: String::new(),
        items: Vec::new(),
    };
    assert!(scene.to_png().unwrap_err().to_string().contains("too large"));
}
