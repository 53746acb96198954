import { expect, it } from "vitest";
import { formatAge, formatScore, formatValue } from "./numbers";

it.each([[0, "0"], [0.12345, "0.123"], [-0.5, "−0.5"], [1234.5, "1230"], [123456, "1.23e5"], [1e-5, "1e−5"], [NaN, "NaN"], [Infinity, "∞"], [-Infinity, "−∞"], [100000, "1e5"]])("value %s", (value, text) => {
  expect(formatValue(value)).toBe(text);
});

it.each([[3.456, "3.5"], [-0.72, "−0.7"], [-0.01, "0.0"], [150.3, "150"], [2345, "2,345"], [1e6, "1e6"], [Infinity, "∞"], [NaN, "–"]])("score %s", (score, text) => {
  expect(formatScore(score)).toBe(text);
});

it.each([[0, "now"], [40, "40 s ago"], [600, "10 min ago"], [7200, "2 h ago"], [864000, "10 d ago"]])("age %s", (age, text) => {
  expect(formatAge(age)).toBe(text);
});
