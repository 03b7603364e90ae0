//! The platform's color and what follows from it: words that are legible on it, and shades of the
//! same hue that are legible on light and on dark backgrounds.
//!
//! Contrast and luminance are those of WCAG 2.2 (1.4.3, 1.4.11). Shades differ from the color in
//! lightness only, in the OKLCH color space, where hue does not drift with lightness.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// The color of buttons, bars and links, for light and for dark mode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Accent {
    #[serde(flatten)]
    pub light: Shades,
    pub dark: Shades,
}

/// One color in its uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shades {
    /// The background of a button.
    pub paint: Color,
    /// Words on `paint`: black or white.
    pub ink: Color,
    /// Words on the page.
    pub text: Color,
}

/// Red, green and blue in sRGB; written `#rrggbb`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Color([u8; 3]);

#[derive(Debug, thiserror::Error)]
#[error("not a color of the form #rrggbb")]
pub struct BadColor;

const BLACK: Color = Color([0, 0, 0]);
const WHITE: Color = Color([255, 255, 255]);
/// At least as dark as every light background in the templates of letters and pages.
const LIGHT_BACKGROUND: Color = Color([0xf0, 0xf3, 0xf6]);
/// At least as light as every dark background there.
const DARK_BACKGROUND: Color = Color([0x1c, 0x22, 0x2a]);
/// For text (WCAG 2.2, 1.4.3).
const TEXT_CONTRAST: f64 = 4.5;
/// For what one must recognize that is not text (WCAG 2.2, 1.4.11).
const SHAPE_CONTRAST: f64 = 3.0;
/// Halvings of an interval; the last is smaller than a step of eight bits.
const STEPS: u32 = 12;

impl FromStr for Accent {
    type Err = BadColor;

    /// In light mode the paint is the given color, however light. In dark mode a color that
    /// would vanish is lightened until the shape of a button is visible.
    fn from_str(text: &str) -> Result<Self, BadColor> {
        let color: Color = text.parse()?;
        Ok(Self {
            light: Shades::new(color, color.legible_on(LIGHT_BACKGROUND, TEXT_CONTRAST)),
            dark: Shades::new(
                color.legible_on(DARK_BACKGROUND, SHAPE_CONTRAST),
                color.legible_on(DARK_BACKGROUND, TEXT_CONTRAST),
            ),
        })
    }
}

impl Default for Accent {
    fn default() -> Self {
        "#1f5eff".parse().expect("it has the form of a color")
    }
}

impl Shades {
    fn new(paint: Color, text: Color) -> Self {
        Self { paint, ink: paint.ink(), text }
    }
}

impl FromStr for Color {
    type Err = BadColor;

    fn from_str(text: &str) -> Result<Self, BadColor> {
        let digits = text.trim().strip_prefix('#').ok_or(BadColor)?;
        let mut bytes = [0; 3];
        let is_hex = digits.len() == 6 && hex::decode_to_slice(digits, &mut bytes).is_ok();
        if is_hex { Ok(Self(bytes)) } else { Err(BadColor) }
    }
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", hex::encode(self.0))
    }
}

impl Serialize for Color {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Color {
    /// One of black and white has a contrast of 4.5 with any color.
    fn ink(self) -> Self {
        if WHITE.contrast(self) >= BLACK.contrast(self) { WHITE } else { BLACK }
    }

    /// This color, or the nearest shade of its hue with this contrast to the background.
    fn legible_on(self, background: Self, contrast: f64) -> Self {
        if self.contrast(background) >= contrast {
            return self;
        }
        let own = Oklab::of(self);
        let (mut illegible, mut legible) = (own.lightness, 0.0);
        let mut shade = BLACK;
        if background.luminance() < 0.18 {
            (legible, shade) = (1.0, WHITE);
        }
        for _ in 0..STEPS {
            let middle = f64::midpoint(illegible, legible);
            let candidate = own.with_lightness(middle);
            if candidate.contrast(background) >= contrast {
                (legible, shade) = (middle, candidate);
            } else {
                illegible = middle;
            }
        }
        shade
    }

    fn contrast(self, other: Self) -> f64 {
        let (one, other) = (self.luminance() + 0.05, other.luminance() + 0.05);
        one.max(other) / one.min(other)
    }

    fn luminance(self) -> f64 {
        let [red, green, blue] = self.linear();
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    fn linear(self) -> [f64; 3] {
        self.0.map(|channel| {
            let share = f64::from(channel) / 255.0;
            if share <= 0.04045 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
        })
    }

    /// `None` outside of sRGB.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the value is clamped to 0..=255"
    )]
    fn from_linear(channels: [f64; 3]) -> Option<Self> {
        let is_inside = |share: &f64| (-0.0001..=1.0001).contains(share);
        channels.iter().all(is_inside).then(|| {
            Self(channels.map(|share| {
                let share = if share <= 0.003_130_8 {
                    share * 12.92
                } else {
                    1.055 * share.powf(1.0 / 2.4) - 0.055
                };
                (share * 255.0).round().clamp(0.0, 255.0) as u8
            }))
        })
    }
}

/// A color in `OKLab` (Björn Ottosson, <https://bottosson.github.io/posts/oklab/>): lightness from
/// 0 to 1, and two axes whose angle is the hue and whose length is the chroma.
#[derive(Clone, Copy, Debug)]
struct Oklab {
    lightness: f64,
    green_red: f64,
    blue_yellow: f64,
}

impl Oklab {
    fn of(color: Color) -> Self {
        let [long, medium, short] = product(
            [
                [0.412_221_470_8, 0.536_332_536_3, 0.051_445_992_9],
                [0.211_903_498_2, 0.680_699_545_1, 0.107_396_956_6],
                [0.088_302_461_9, 0.281_718_837_6, 0.629_978_700_5],
            ],
            color.linear(),
        )
        .map(f64::cbrt);
        let [lightness, green_red, blue_yellow] = product(
            [
                [0.210_454_255_3, 0.793_617_785_0, -0.004_072_046_8],
                [1.977_998_495_1, -2.428_592_205_0, 0.450_593_709_9],
                [0.025_904_037_1, 0.782_771_766_2, -0.808_675_766_0],
            ],
            [long, medium, short],
        );
        Self { lightness, green_red, blue_yellow }
    }

    fn color(self) -> Option<Color> {
        let cones = product(
            [
                [1.0, 0.396_337_777_4, 0.215_803_757_3],
                [1.0, -0.105_561_345_8, -0.063_854_172_8],
                [1.0, -0.089_484_177_5, -1.291_485_548_0],
            ],
            [self.lightness, self.green_red, self.blue_yellow],
        )
        .map(|share| share.powi(3));
        Color::from_linear(product(
            [
                [4.076_741_662_1, -3.307_711_591_3, 0.230_969_929_2],
                [-1.268_438_004_6, 2.609_757_401_1, -0.341_319_396_5],
                [-0.004_196_086_3, -0.703_418_614_7, 1.707_614_701_0],
            ],
            cones,
        ))
    }

    /// The same hue in another lightness, with as much of its chroma as sRGB can show there.
    fn with_lightness(self, lightness: f64) -> Color {
        let shade = |share: f64| {
            let (green_red, blue_yellow) = (self.green_red * share, self.blue_yellow * share);
            Self { lightness, green_red, blue_yellow }.color()
        };
        let (mut inside, mut outside) = (0.0, 1.0);
        let mut best = shade(1.0);
        if best.is_none() {
            best = shade(0.0);
            for _ in 0..STEPS {
                let middle = f64::midpoint(inside, outside);
                match shade(middle) {
                    Some(color) => (inside, best) = (middle, Some(color)),
                    None => outside = middle,
                }
            }
        }
        best.unwrap_or(if lightness > 0.5 { WHITE } else { BLACK })
    }
}

fn product(matrix: [[f64; 3]; 3], vector: [f64; 3]) -> [f64; 3] {
    matrix.map(|row| row.iter().zip(vector).map(|(factor, value)| factor * value).sum())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hue_and_chroma(color: Color) -> (f64, f64) {
        let lab = Oklab::of(color);
        let chroma = lab.green_red.hypot(lab.blue_yellow);
        (lab.blue_yellow.atan2(lab.green_red).to_degrees(), chroma)
    }

    #[test]
    fn a_color_has_six_digits() {
        assert_eq!(" #1F5eff".parse::<Color>().unwrap().to_string(), "#1f5eff");
        for bad in [
            "",
            "red",
            "#fff",
            "#gggggg",
            "#12345678",
            "#1f5eff; }",
            "1f5eff",
            "#é1f5e",
            "#0x1f5eff",
        ] {
            assert!(bad.parse::<Accent>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_color_that_is_legible_stays_as_it_is() {
        let blue = Accent::default();
        let own: Color = "#1f5eff".parse().unwrap();
        assert_eq!((blue.light.paint, blue.light.ink, blue.light.text), (own, WHITE, own));
        assert_eq!((blue.dark.paint, blue.dark.ink), (own, WHITE));
        assert_ne!(blue.dark.text, own);
        let yellow: Accent = "#ffd400".parse().unwrap();
        assert_eq!((yellow.light.paint, yellow.light.ink), ("#ffd400".parse().unwrap(), BLACK));
        assert_eq!(yellow.dark.text, yellow.dark.paint);
    }

    #[test]
    fn grey_has_no_hue_and_the_extremes_have_shades_too() {
        for text in ["#000000", "#ffffff", "#777777"] {
            let accent: Accent = text.parse().unwrap();
            for shade in [accent.light.text, accent.dark.paint, accent.dark.text] {
                assert!(hue_and_chroma(shade).1 < 0.005, "{text}: {shade}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn every_color_has_legible_shades_of_its_own_hue(bytes in any::<[u8; 3]>()) {
            let color = Color(bytes);
            let Accent { light, dark } = color.to_string().parse().unwrap();
            prop_assert_eq!(light.paint, color);
            for shades in [&light, &dark] {
                prop_assert!(shades.ink.contrast(shades.paint) >= TEXT_CONTRAST);
            }
            prop_assert!(light.text.contrast(LIGHT_BACKGROUND) >= TEXT_CONTRAST);
            prop_assert!(dark.text.contrast(DARK_BACKGROUND) >= TEXT_CONTRAST);
            prop_assert!(dark.paint.contrast(DARK_BACKGROUND) >= SHAPE_CONTRAST);
            let (hue, chroma) = hue_and_chroma(color);
            for shade in [light.text, dark.paint, dark.text] {
                let (other, other_chroma) = hue_and_chroma(shade);
                // Eight bits leave a faint color no exact hue.
                if chroma > 0.05 && other_chroma > 0.05 {
                    let apart = ((hue - other + 540.0) % 360.0 - 180.0).abs();
                    prop_assert!(apart < 3.0, "{} and {}: {} degrees", color, shade, apart);
                }
            }
        }
    }
}
