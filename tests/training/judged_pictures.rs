//! Claim: the picture of a confusion matrix shows what the matrix says, for two classes and for thousands, whatever the
//! classes are called; sheets of labelled pictures have room for their labels.

use image::RgbImage;
use ndarray::Array2;
use vit_mae::draw::sheet::{Picture, Sheet};
use vit_mae::tasks::confusion::draw;

fn names(count: usize) -> Vec<String> {
    (0..count).map(|class| format!("class number {class}")).collect()
}

fn picture(png: &[u8]) -> RgbImage {
    image::load_from_memory(png).unwrap().to_rgb8()
}

fn is_blue(pixel: image::Rgb<u8>) -> bool {
    i32::from(pixel[2]) - i32::from(pixel[0]) > 60
}

fn is_orange(pixel: image::Rgb<u8>) -> bool {
    i32::from(pixel[0]) - i32::from(pixel[2]) > 60
}

fn count(picture: &RgbImage, colour: impl Fn(image::Rgb<u8>) -> bool) -> usize {
    picture.pixels().filter(|pixel| colour(**pixel)).count()
}

#[test]
fn what_is_right_is_blue_and_what_is_wrong_is_orange() {
    let right = picture(&draw(&(Array2::eye(3) * 5), &names(3), "all right", "images").unwrap());
    assert!(count(&right, is_blue) > 3 * 1000 && count(&right, is_orange) == 0);
    let mut wrong = Array2::zeros((3, 3));
    wrong[[0, 1]] = 7;
    wrong[[2, 0]] = 1;
    let wrong = picture(&draw(&(wrong), &names(3), "all wrong", "images").unwrap());
    // Two cells of 39 × 39 pixels less their numbers; the row without images stays empty.
    let orange = count(&wrong, is_orange);
    assert!(count(&wrong, is_blue) == 0 && (2 * 1000..=2 * 39 * 39).contains(&orange), "{orange}");
}

#[test]
fn a_rare_mistake_can_still_be_seen() {
    let mut confusion = Array2::eye(2) * 99;
    confusion[[0, 1]] = 1;
    let with = picture(&draw(&(confusion), &names(2), "", "images").unwrap());
    let tinted = count(&with, |p| i32::from(p[0]) - i32::from(p[2]) > 15);
    assert!(tinted > 1000, "{tinted} pixels");
}

#[test]
fn of_thousands_of_classes_those_with_the_most_mistakes_are_shown() {
    let mut confusion = Array2::eye(2000) * 10;
    for class in 0..40 {
        confusion[[50 * class, 50 * class + 1]] = 20;
    }
    let picture = picture(&draw(&(confusion), &names(2000), "many", "images").unwrap());
    assert!(picture.width().max(picture.height()) < 2600, "{:?}", picture.dimensions());
    // 40 cells of 17 × 17 pixels.
    assert_eq!(count(&picture, is_orange), 40 * 17 * 17);
}

#[test]
fn any_name_of_a_class_can_be_drawn() {
    let long = "a very long name ".repeat(30);
    let names = [String::new(), long, "漢字 🙂".to_owned(), "naïve Süßware".to_owned(), "x\ny\t".to_owned()];
    let picture = picture(&draw(&(Array2::eye(5)), &names, "any name", "images").unwrap());
    assert!(picture.width() < 800, "{:?}", picture.dimensions());
}

#[test]
fn a_sheet_of_labelled_pictures_has_room_for_the_labels_and_for_a_short_last_row() {
    let tile = |lines: usize| (Picture::gray(4, 4, &[9; 16]), vec!["line".to_owned(); lines]);
    let height = |lines: usize, rows: &[usize]| {
        let mut sheet = Sheet::new(&["", "", ""], None);
        for &n in rows {
            sheet.push_labelled_row((0..n).map(|_| tile(lines)));
        }
        picture(&sheet.to_png_bytes().unwrap()).height()
    };
    assert_eq!(height(3, &[3]) - height(0, &[3]), 3 * 16 + 4);
    assert_eq!(height(2, &[3, 1]) - height(0, &[3, 1]), 2 * (2 * 16 + 4));
    let mut sheet = Sheet::new(&[""], None);
    sheet.push_labelled_row([(Picture::gray(4, 4, &[9; 16]), vec!["漢".repeat(300)])]);
    assert!(picture(&sheet.to_png_bytes().unwrap()).width() < 300);
}
