// Compiles the C loop before the test machine boots: its root file system is read-only.
import { compile } from "./compare.js";

compile();
