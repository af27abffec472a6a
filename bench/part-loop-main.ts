/**
 * What offsite is measured by: the SDK's client alone, one part of 8 MiB after the other, up and down again. Arguments:
 * the file, and where it comes back to; where the bucket is stands in BENCH_S3. Prints the milliseconds of both ways.
 */
import { closeSync, fstatSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import type { S3Access } from '../src/engine/store/s3/access.ts';

const PART_BYTES = 8 * 1024 * 1024;
const [from = '', to = ''] = process.argv.slice(2);
const access = JSON.parse(process.env['BENCH_S3'] ?? '') as S3Access; // of the bench
const { bucket, region, endpoint, accessKeyId, secretAccessKey } = access;
const client = new S3Client({
  region,
  endpoint: endpoint ?? undefined,
  forcePathStyle: true,
  credentials: { accessKeyId: accessKeyId ?? '', secretAccessKey: secretAccessKey ?? '' },
});
const object = { Bucket: bucket, Key: 'loop' };

const startedMs = performance.now();
const sizeBytes = await upload();
const uploadedMs = performance.now();
await download(sizeBytes);
console.log(JSON.stringify({ up: uploadedMs - startedMs, down: performance.now() - uploadedMs }));

async function upload(): Promise<number> {
  const file = openSync(from, 'r');
  const { UploadId } = await client.send(new CreateMultipartUploadCommand(object));
  const part = Buffer.allocUnsafeSlow(PART_BYTES);
  const Parts: { PartNumber: number; ETag: string | undefined }[] = [];
  for (;;) {
    const length = readSync(file, part);
    if (length === 0) break;
    const PartNumber = Parts.length + 1;
    const Body = part.subarray(0, length);
    const { ETag } = await client.send(new UploadPartCommand({ ...object, UploadId, PartNumber, Body }));
    Parts.push({ PartNumber, ETag });
  }
  await client.send(new CompleteMultipartUploadCommand({ ...object, UploadId, MultipartUpload: { Parts } }));
  const { size } = fstatSync(file);
  closeSync(file);
  return size;
}

async function download(size: number): Promise<void> {
  const file = openSync(to, 'wx');
  for (let at = 0; at < size; at += PART_BYTES) {
    const Range = `bytes=${at}-${Math.min(size, at + PART_BYTES) - 1}`;
    const { Body } = await client.send(new GetObjectCommand({ ...object, Range }));
    for await (const chunk of Body as AsyncIterable<Uint8Array>) writeSync(file, chunk);
  }
  fsyncSync(file);
  closeSync(file);
}
