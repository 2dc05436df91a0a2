// A wheelhouse for tests: a small `qwen-ls` and the one package that it needs, made here with Python's zipfile.
import { execFileSync } from "node:child_process";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

const MAKE = `
import sys, zipfile
folder, = sys.argv[1:]

def wheel(name, modules, metadata, entry=""):
    stem = name.replace("-", "_")
    info = f"{stem}-1.0.dist-info"
    files = {
        **modules,
        f"{info}/METADATA": f"Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n{metadata}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        **({f"{info}/entry_points.txt": entry} if entry else {}),
    }
    with zipfile.ZipFile(f"{folder}/{stem}-1.0-py3-none-any.whl", "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{file},,\\n" for file in [*files, f"{info}/RECORD"]))

main = "import sys, qwen_ls_needs\\ndef main():\\n    print('qwen-ls', qwen_ls_needs.VALUE, sys.argv[1:])\\n"
wheel("qwen-ls", {"qwen_ls_stub.py": main}, "Requires-Dist: qwen-ls-needs\\n",
      "[console_scripts]\\nqwen-ls = qwen_ls_stub:main\\n")
wheel("qwen-ls-needs", {"qwen_ls_needs.py": "VALUE = 1\\n"}, "")
`;

/** A folder of wheels, and the wheel of `qwen-ls` in it. */
export async function makeWheelhouse(): Promise<{ folder: string; wheel: string }> {
  const folder = await mkdtemp(path.join(tmpdir(), "wheelhouse-"));
  execFileSync("python3", ["-c", MAKE, folder]);
  return { folder, wheel: path.join(folder, "qwen_ls-1.0-py3-none-any.whl") };
}
