/** A modelled machine, and what is behind its iommufds. */

import { loadProfile } from "../lib/backend/software/profile.ts";
import { SoftwareBackend } from "../lib/backend/software/software-backend.ts";
import type { SoftwareIommufdFile } from "../lib/backend/software/software-iommufd.ts";
import { SoftwareMachine } from "../lib/backend/software-machine.ts";

/** A machine, and the model's own iommufds, in the order in which they were opened. */
export function openModel(profile: string): { machine: SoftwareMachine; files: SoftwareIommufdFile[] } {
  const files: SoftwareIommufdFile[] = [];
  class Model extends SoftwareBackend {
    override openIommufd() {
      const file = super.openIommufd();
      files.push(file as SoftwareIommufdFile);
      return file;
    }
  }
  return { machine: new SoftwareMachine(new Model(loadProfile(profile)), "a test"), files };
}
