/** What the routes answer, as the tab uses it (dgm_tb/plugin/http_api.md). */

export const QUANTITIES = ["activation", "gradient", "weight", "weight_gradient", "update"] as const;
export type Quantity = (typeof QUANTITIES)[number];

export const STATISTICS = ["mean", "std", "min", "max", "zero_fraction", "nonfinite"] as const;
export type Statistic = (typeof STATISTICS)[number];

export type RunState = "live" | "ended" | "silent";

export interface RunInfo {
  readonly name: string;
  readonly state: RunState;
  readonly snapshots: number;
  readonly first_step: number | null;
  readonly last_step: number | null;
  readonly generation: number;
  readonly started: number;
  readonly last_wall_time: number;
  readonly losses: number;
  readonly graph: string | null;
  readonly reason: string | null;
  readonly problems: readonly string[];
  /** What a person may want to know and is nothing wrong: thinned stretches, a lengthened interval. */
  readonly notes: readonly string[];
  /** Stretches of steps whose single snapshots were given up; what is known of them are sums. Ascending. */
  readonly thinned: readonly (readonly [first: number, last: number])[];
}

export interface RunsReply {
  readonly cursor: string;
  readonly now: number;
  readonly logdir: string;
  readonly runs: readonly RunInfo[];
  readonly gone?: readonly string[];
  /** Runs that were found and not read yet; they come with later replies. */
  readonly unread: number;
}

export interface LossReply {
  readonly columns: readonly string[];
  readonly generation: number;
  readonly step: Float64Array;
  readonly wallTime: Float64Array;
  /** `[columns][n]`, flat */
  readonly values: Float64Array;
  readonly logged: Uint8Array;
  readonly snapshots: Float64Array;
  readonly deep: Float64Array;
}

export type NodeKind = "module" | "input" | "op" | "loss";

export interface GraphNode {
  readonly name: string;
  readonly module_type: string;
  readonly group: string;
  readonly units: number;
  readonly programs: readonly string[];
  readonly quantities: readonly string[];
  readonly parameters: number;
  readonly shape: readonly number[];
  readonly calls: number;
  readonly kind: NodeKind;
  /** What the user says the module is; "" where nothing was said. */
  readonly role: string;
}

export interface GraphEdge {
  readonly source: string;
  readonly target: string;
  readonly back: boolean;
}

export interface GraphGroup {
  readonly name: string;
  readonly module_type: string;
  readonly parent: string;
}

export interface GraphReply {
  readonly id: string;
  readonly step: number;
  readonly nodes: readonly GraphNode[];
  readonly edges: readonly GraphEdge[];
  readonly groups: readonly GraphGroup[];
  readonly programs: Readonly<Record<string, string>>;
}

/** How a reply sums snapshots up, to draw a range of any length. */
export interface Resolution {
  /** 0: a column is a snapshot. From 1 on two columns are a point: its first step and the least, its last step and the greatest. */
  readonly level: number;
  /** Snapshots a point; the newest, which no full point holds yet, stand by fewer. */
  readonly each: number;
}

export interface AggregatesReply extends Resolution {
  readonly focus: number;
  readonly nodes: readonly string[];
  readonly programs: readonly string[];
  readonly generation: number;
  readonly step: Float64Array;
  /** `[rows][w]`, flat; so are `low`, `high` and `nonfinite` */
  readonly mean: Float32Array;
  readonly low: Float32Array;
  readonly high: Float32Array;
  readonly nonfinite: Float32Array;
  readonly score: Float32Array;
}

export interface LayerReply extends Resolution {
  readonly focus: number;
  readonly node: string;
  readonly program: string;
  readonly units: number;
  readonly drawn: number;
  readonly radius: number;
  /** From this `score` on a unit's jump is more than chance makes of one of so many. */
  readonly extreme: number;
  readonly generation: number;
  readonly step: Float64Array;
  readonly unit: Uint32Array;
  readonly weight: Uint32Array;
  readonly outlier: Uint8Array;
  readonly nonfinite: Uint8Array;
  readonly score: Float32Array;
  /** `[drawn][w]`, flat */
  readonly values: Float32Array;
}

export interface DensityReply extends Resolution {
  readonly focus: number;
  readonly low: number;
  readonly high: number;
  readonly scale: string;
  readonly threshold: number;
  readonly width: number;
  readonly height: number;
  readonly density: Float32Array;
}

export interface NeuronReply extends Resolution {
  readonly node: string;
  readonly program: string;
  readonly quantity: string;
  readonly units: readonly number[];
  readonly statistics: readonly string[];
  readonly generation: number;
  readonly step: Float64Array;
  /** `[units][statistics][s]`, flat */
  readonly values: Float32Array;
}
