//! The two columns of a Parquet file that matter here, row by row.

use super::super::labels::Label;
use crate::base::files::text;
use crate::base::{Error, Result};
use parquet::basic::Type;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_typed_column_reader};
use parquet::data_type::{ByteArrayType, DataType, DoubleType, FloatType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::schema::types::SchemaDescriptor;
use std::fs::File;
use std::path::Path;

/// Names under which the images and the labels of the hub's data sets stand.
const IMAGES: [&str; 2] = ["image.bytes", "img.bytes"];
const LABELS: [&str; 3] = ["label", "labels", "fine_label"];

/// Rows that are read at once.
const ROWS: usize = 64;

/// An open file and where its columns stand.
pub(super) struct Columns<'a> {
    path: &'a Path,
    reader: SerializedFileReader<File>,
    images: usize,
    labels: Option<usize>,
}

impl<'a> Columns<'a> {
    /// Reads the file's schema.
    ///
    /// # Errors
    /// If it is no Parquet file, or has no column of images.
    pub(super) fn open(path: &'a Path, file: File) -> Result<Self> {
        let reader = SerializedFileReader::new(file).map_err(damaged(path))?;
        let schema = reader.metadata().file_metadata().schema_descr();
        let images = find(schema, &IMAGES).ok_or_else(|| {
            let names: Vec<String> = schema.columns().iter().map(|column| column.path().string()).collect();
            Error::input(path, "columns", "a struct `image` with the field `bytes`", names.join(", "))
        })?;
        let labels = find(schema, &LABELS);
        single(path, schema, images, &[Type::BYTE_ARRAY])?;
        Ok(Self { path, reader, images, labels })
    }

    /// The number of rows, as the footer has it; reading a column compares it.
    pub(super) fn rows(&self) -> usize {
        let groups = self.reader.metadata().row_groups().iter();
        groups.map(|group| usize::try_from(group.num_rows()).unwrap_or(0)).sum()
    }

    /// The names of the classes that the Hugging Face library notes in the file, if it does.
    pub(super) fn class_names(&self) -> Option<Vec<String>> {
        let schema = self.reader.metadata().file_metadata();
        let label = schema.schema_descr().column(self.labels?).path().string();
        let notes = schema.key_value_metadata()?.iter().find(|pair| pair.key == "huggingface")?;
        let notes: serde_json::Value = serde_json::from_str(notes.value.as_ref()?).ok()?;
        let names = notes.pointer(&format!("/info/features/{label}/names"))?.as_array()?;
        names.iter().map(|name| name.as_str().map(str::to_owned)).collect()
    }

    /// Hands over the bytes of every image in turn.
    ///
    /// # Errors
    /// If the file is damaged, or an image has no bytes.
    pub(super) fn each_image(&self, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.each::<ByteArrayType>(self.images, |row, bytes| {
            let missing = || {
                let field = format!("row {row}, image.bytes");
                Error::input(self.path, field, "the bytes of an image file", "null")
            };
            take(bytes.ok_or_else(missing)?.data())
        })
    }

    /// Hands over every label in turn; null is none.
    ///
    /// # Errors
    /// If the file is damaged, or its labels are neither numbers nor texts.
    pub(super) fn each_label(&self, mut take: impl FnMut(Option<Label>)) -> Result<()> {
        let Some(column) = self.labels else { return Ok(()) };
        let schema = self.reader.metadata().file_metadata().schema_descr();
        let types = [Type::INT32, Type::INT64, Type::FLOAT, Type::DOUBLE, Type::BYTE_ARRAY];
        single(self.path, schema, column, &types)?;
        let mut number = |number: Option<f64>| {
            take(number.map(Label::number));
            Ok(())
        };
        match schema.column(column).physical_type() {
            Type::INT32 => self.each::<Int32Type>(column, |_, label| number(label.map(|&x| x.into()))),
            Type::INT64 => self.each::<Int64Type>(column, |_, label| number(label.map(|&x| x as f64))),
            Type::FLOAT => self.each::<FloatType>(column, |_, label| number(label.map(|&x| x.into()))),
            Type::DOUBLE => self.each::<DoubleType>(column, |_, label| number(label.copied())),
            _ => self.each::<ByteArrayType>(column, |row, label| {
                let field = || format!("row {row}, label");
                let label = label.map(|label| text(self.path, &field(), label.data())).transpose()?;
                take(label.map(Label::text));
                Ok(())
            }),
        }
    }

    /// Every value of a column with its row, `None` where it is null.
    fn each<T: DataType>(
        &self,
        column: usize,
        mut take: impl FnMut(usize, Option<&T::T>) -> Result<()>,
    ) -> Result<()> {
        let (path, mut row) = (self.path, 0);
        for group in 0..self.reader.num_row_groups() {
            let group = self.reader.get_row_group(group).map_err(damaged(path))?;
            let most = self.reader.metadata().file_metadata().schema_descr().column(column).max_def_level();
            let expected = row + usize::try_from(group.metadata().num_rows()).unwrap_or(0);
            let mut reader: ColumnReaderImpl<T> = typed(&*group, column).map_err(damaged(path))?;
            loop {
                let (mut levels, mut values) = (Vec::new(), Vec::new());
                let (rows, ..) =
                    reader.read_records(ROWS, Some(&mut levels), None, &mut values).map_err(damaged(path))?;
                if rows == 0 {
                    break;
                }
                let mut values = values.iter();
                for at in 0..rows {
                    // A column that cannot be null has no levels.
                    let present = levels.get(at).is_none_or(|&level| level == most);
                    take(row + at, if present { values.next() } else { None })?;
                }
                row += rows;
            }
            if row != expected {
                let field = format!("column {column}");
                return Err(Error::input(path, field, format!("{expected} rows, as the footer says"), row));
            }
        }
        Ok(())
    }
}

fn typed<T: DataType>(
    group: &dyn RowGroupReader,
    column: usize,
) -> std::result::Result<ColumnReaderImpl<T>, ParquetError> {
    let reader: ColumnReader = group.get_column_reader(column)?;
    Ok(get_typed_column_reader(reader))
}

/// Refuses a column of other types, or of lists.
fn single(path: &Path, schema: &SchemaDescriptor, column: usize, types: &[Type]) -> Result<()> {
    let column = schema.column(column);
    if types.contains(&column.physical_type()) && column.max_rep_level() == 0 {
        return Ok(());
    }
    let found = format!("{} in lists of depth {}", column.physical_type(), column.max_rep_level());
    let expected = format!("single values of type {types:?}");
    Err(Error::input(path, format!("column {}", column.path().string()), expected, found))
}

fn find(schema: &SchemaDescriptor, names: &[&str]) -> Option<usize> {
    let at = |name: &&str| schema.columns().iter().position(|column| column.path().string() == **name);
    names.iter().find_map(at)
}

fn damaged(path: &Path) -> impl Fn(ParquetError) -> Error + '_ {
    move |error| {
        Error::input(path, "Parquet data", "a sound file, uncompressed or with Snappy or gzip", error)
    }
}
