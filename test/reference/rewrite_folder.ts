// Opens a model, a GGUF file or a folder, and writes it as a float32 folder. Usage: tsx rewrite_folder.ts FROM TO
import { openCheckpoint } from '../../src/formats/checkpoint.ts';
import { writeHuggingFaceFolder } from '../../src/formats/huggingface-write.ts';

const [from, to] = process.argv.slice(2);
const model = openCheckpoint(from);
writeHuggingFaceFolder(to, model, { weights: model.weights, dtype: 'F32' });
