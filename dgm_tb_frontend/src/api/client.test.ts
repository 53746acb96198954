import { afterEach, describe, expect, it, vi } from "vitest";
import { address, ApiError, fetchGraph, fetchRuns } from "./client";

afterEach(() => void vi.unstubAllGlobals());

describe("address", () => {
  it("is relative, quotes values and leaves out what is not given", () => {
    expect(address("layer", { run: "a b/ü&=", program: null, since: undefined, m: 300, empty: "" })).toBe("layer?run=a%20b%2F%C3%BC%26%3D&m=300");
    expect(address("runs", {})).toBe("runs");
  });
});

describe("requests", () => {
  it("give the server's own sentence when it refuses", async () => {
    vi.stubGlobal("fetch", () => Promise.resolve(new Response("run='x' is unknown", { status: 404 })));
    await expect(fetchGraph("x")).rejects.toMatchObject({ status: 404, message: "run='x' is unknown" });
  });

  it("say that the server is away when no answer comes", async () => {
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("Failed to fetch")));
    await expect(fetchRuns(null)).rejects.toThrow(ApiError);
    await expect(fetchRuns(null)).rejects.toMatchObject({ status: 0 });
  });
});
