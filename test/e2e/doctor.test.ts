/** `iommufd doctor`, on recorded trees. */

import { describe, expect, it } from "vitest";
import { iommufd } from "./command.ts";
import { temporaryFiles } from "./temporary-files.ts";

describe("iommufd doctor", () => {
  const { directory: host } = temporaryFiles();

  it("examines a recorded host: exit 3 where something stands in the way", () => {
    const { status, stdout, stderr } = iommufd(["doctor", "--root", host, "6A:01.0"]);
    expect({ status, stderr }).toEqual({ status: 3, stderr: "" });
    expect(stdout).toContain("\n\nNot ready: 3 of 11 checks failed.\nOnly `iommufd probe` opens devices: ");
    expect(stdout).toContain("\n\nTo do, in this order:\n1. 0000:6a:01.0: lspci -D lists what is there\n");
    expect(stdout).toMatch(
      /\n\d\. See whether it worked\n {5}iommufd doctor 0000:6a:01\.0\n {5}iommufd probe 0000:6a:01\.0\n/,
    );
    expect(stdout).toContain("\n\nTo find out:\n- kernel: ");
    expect(stdout).toMatch(/^fail {5}0000:6a:01\.0 +no such PCI device$/m);
    const json = iommufd(["doctor", "--root", host, "--json"]);
    expect(json.status).toBe(3);
    expect(JSON.parse(json.stdout)).toMatchObject({
      schema: "iommufd.doctor/1",
      ready: false,
      checks: expect.arrayContaining([
        {
          name: "/dev/iommu",
          status: "fail",
          found: "is not there",
          fix: "load the module: modprobe iommufd",
        },
      ]),
      plan: expect.arrayContaining([
        { title: "See whether it worked", commands: ["iommufd doctor", "iommufd probe"] },
      ]),
    });
  });

  it.each([
    [["--root", "/no/such/host"], "iommufd: --root: /no/such/host: no such directory\n"],
    [["6a:1"], "PCI address"],
    [["--rot", "/"], "unknown option '--rot' (Did you mean --root?)"],
  ])("%j: exit 2", (args, message) => {
    expect(iommufd(["doctor", ...args])).toMatchObject({
      status: 2,
      stdout: "",
      stderr: expect.stringContaining(message),
    });
  });
});
