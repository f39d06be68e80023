/**
 * The gRPC service `protos.Coordinator` of the originals (coordinator.md RET-6), described as data: two messages and one method need
 * no generated file.
 */
import { create, createFileRegistry, type DescMessage, type DescMethodUnary, type DescService } from '@bufbuild/protobuf';
import {
  DescriptorProtoSchema,
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorProtoSchema,
  FieldDescriptorProtoSchema,
} from '@bufbuild/protobuf/wkt';

/** What a client sends; either may be missing. */
export interface ClearResultsRequest {
  readonly builder: string;
  readonly hash: string;
}

export const coordinatorService: DescService = describe();

export const clearResultsMethod = coordinatorService.method['clearResults'] as DescMethodUnary<DescMessage, DescMessage>;

/** Where the key stands: `builder KEY`. */
export const authorizationHeader = 'coordinator-authorization';

function describe(): DescService {
  const file = create(FileDescriptorProtoSchema, {
    name: 'coordinator.proto',
    package: 'protos',
    syntax: 'proto3',
    messageType: [
      create(DescriptorProtoSchema, { name: 'ClearResultsRequest', field: [text('builder', 1), text('hash', 2)] }),
      create(DescriptorProtoSchema, { name: 'ClearResultsResponse' }),
    ],
    service: [
      {
        name: 'Coordinator',
        method: [{ name: 'ClearResults', inputType: '.protos.ClearResultsRequest', outputType: '.protos.ClearResultsResponse' }],
      },
    ],
  });
  const service = createFileRegistry(file, () => undefined).getService('protos.Coordinator');
  if (!service) throw new Error('the service is described above');
  return service;
}

function text(name: string, number: number) {
  return create(FieldDescriptorProtoSchema, {
    name,
    jsonName: name,
    number,
    label: FieldDescriptorProto_Label.OPTIONAL,
    type: FieldDescriptorProto_Type.STRING,
  });
}
