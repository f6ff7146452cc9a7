// Where ops stand in a heat map: a panel per tower, blocks from left to right, roles from top to bottom.
import { distinct, type Ops } from "./data.ts";

export interface Place {
  ops: number[]; // several where roles that differ in numbers only stand together
  column: number;
  row: number;
}

export interface Panel {
  tower: string;
  columns: string[]; // "–" for what belongs to no block
  rows: string[];
  places: Place[];
}

export const NO_BLOCK = "–";
// More roles than this are those of experts: "experts.17.up_proj" is shown as "experts.*.up_proj".
const MOST_ROWS = 40;

const withoutNumbers = (role: string): string => role.replace(/\d+/g, "*");

function panel(ops: Ops, tower: string): Panel {
  const members = ops.tower.map((_, i) => i).filter((i) => ops.tower[i] === tower);
  const own = (i: number): string => ops.role[i] as string;
  const many = distinct(members.map(own)).length > MOST_ROWS;
  const role = (i: number): string => (many ? withoutNumbers(own(i)) : own(i));
  const rows = distinct(members.map(role));
  const blocks = distinct(members.map((i) => String(ops.block[i] ?? NO_BLOCK)));
  // What has no block comes first, as the patch embedding does; lm_head stands there too.
  const columns = blocks.sort((a, b) => (a === NO_BLOCK ? -1 : b === NO_BLOCK ? 1 : Number(a) - Number(b)));
  const rowOf: Record<string, number> = {};
  rows.forEach((name, i) => (rowOf[`_${name}`] = i));
  const columnOf: Record<string, number> = {};
  columns.forEach((name, i) => (columnOf[name] = i));
  const at: Record<string, Place> = {};
  const places: Place[] = [];
  for (const op of members) {
    const column = columnOf[String(ops.block[op] ?? NO_BLOCK)] as number;
    const row = rowOf[`_${role(op)}`] as number;
    const key = `${column},${row}`;
    const known = at[key];
    if (known) known.ops.push(op);
    else places.push((at[key] = { ops: [op], column, row }));
  }
  return { tower, columns, rows, places };
}

export const panels = (ops: Ops): Panel[] => distinct(ops.tower).map((tower) => panel(ops, tower));
