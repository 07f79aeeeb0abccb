//! Rows as files: tidy, one row a cell, one column an axis or a measure.

use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;
use szar_core::{Error, Result};

use super::measures::ALL;
use super::{Results, Row};

/// A text of a row.
type Text = fn(&Row) -> String;

/// Columns of text besides the axes.
const TEXTS: [(&str, Text); 3] = [
    ("status", |row| row.status.to_owned()),
    ("error", |row| row.why.clone().unwrap_or_default()),
    ("run", |row| {
        row.run
            .as_ref()
            .map(|p| p.display().to_string())
            .unwrap_or_default()
    }),
];

/// As CSV.
pub(super) fn csv(results: &Results) -> Result<Vec<u8>> {
    let bad = |e: String| Error::Input(format!("CSV: {e}"));
    let measured = results.measured();
    let mut csv = csv::Writer::from_writer(Vec::new());
    let texts = TEXTS.iter().map(|(name, _)| *name);
    let axes = results.axes.iter().map(String::as_str);
    let head = axes.chain(texts).chain(measured.iter().map(|m| ALL[*m].name));
    csv.write_record(head).map_err(|e| bad(e.to_string()))?;
    for row in &results.rows {
        let axes = results
            .axes
            .iter()
            .map(|axis| row.at.get(axis).cloned().unwrap_or_default());
        let texts = TEXTS.iter().map(|(_, of)| of(row));
        let numbers = measured
            .iter()
            .map(|m| row.values[*m].map(|v| v.to_string()).unwrap_or_default());
        csv.write_record(axes.chain(texts).chain(numbers))
            .map_err(|e| bad(e.to_string()))?;
    }
    csv.into_inner().map_err(|e| bad(e.to_string()))
}

/// As Parquet, one row group; numbers that are missing are null.
pub(super) fn parquet(results: &Results) -> Result<Vec<u8>> {
    write(results).map_err(|e| Error::Input(format!("Parquet: {e}")))
}

fn write(results: &Results) -> Result<Vec<u8>, ParquetError> {
    let measured = results.measured();
    let text = |name: &str| -> Result<Arc<Type>, ParquetError> {
        let column = Type::primitive_type_builder(name, Physical::BYTE_ARRAY);
        let column = column.with_repetition(Repetition::REQUIRED);
        Ok(Arc::new(
            column.with_logical_type(Some(LogicalType::String)).build()?,
        ))
    };
    let number = |name: &str| -> Result<Arc<Type>, ParquetError> {
        let column = Type::primitive_type_builder(name, Physical::DOUBLE);
        Ok(Arc::new(column.with_repetition(Repetition::OPTIONAL).build()?))
    };
    let mut fields = Vec::new();
    for axis in &results.axes {
        fields.push(text(axis)?);
    }
    for (name, _) in TEXTS {
        fields.push(text(name)?);
    }
    for measure in &measured {
        fields.push(number(ALL[*measure].name)?);
    }
    let schema = Arc::new(Type::group_type_builder("results").with_fields(fields).build()?);
    let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(WriterProperties::new()))?;
    let mut group = file.next_row_group()?;
    for axis in &results.axes {
        let of = |row: &Row| row.at.get(axis).cloned().unwrap_or_default();
        texts(&mut group, results, &of)?;
    }
    for (_, of) in TEXTS {
        texts(&mut group, results, &of)?;
    }
    for measure in measured {
        numbers(&mut group, results, measure)?;
    }
    group.close()?;
    file.into_inner()
}

type Group<'a> = SerializedRowGroupWriter<'a, Vec<u8>>;

fn texts(group: &mut Group, results: &Results, of: &dyn Fn(&Row) -> String) -> Result<(), ParquetError> {
    let values: Vec<ByteArray> = results
        .rows
        .iter()
        .map(|row| ByteArray::from(of(row).into_bytes()))
        .collect();
    let Some(mut column) = group.next_column()? else {
        return Ok(());
    };
    column.typed::<ByteArrayType>().write_batch(&values, None, None)?;
    column.close()
}

fn numbers(group: &mut Group, results: &Results, measure: usize) -> Result<(), ParquetError> {
    let values: Vec<f64> = results
        .rows
        .iter()
        .filter_map(|row| row.values[measure])
        .collect();
    let defined: Vec<i16> = results
        .rows
        .iter()
        .map(|row| i16::from(row.values[measure].is_some()))
        .collect();
    let Some(mut column) = group.next_column()? else {
        return Ok(());
    };
    column
        .typed::<DoubleType>()
        .write_batch(&values, Some(&defined), None)?;
    column.close()
}
