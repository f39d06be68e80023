/**
 * The gRPC service `protos.GomoteService` of the originals (gomote-ssh.md 6.2), described as data: its messages are few and flat. A `string`
 * that may hold anything is `bytes` here, which is the same on the wire.
 */
import {
  create,
  createFileRegistry,
  type DescMessage,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type DescService,
} from '@bufbuild/protobuf';
import {
  DescriptorProtoSchema,
  EnumDescriptorProtoSchema,
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FieldDescriptorProtoSchema,
  FileDescriptorProtoSchema,
  type DescriptorProto,
  type FieldDescriptorProto,
} from '@bufbuild/protobuf/wkt';

const { STRING, BYTES, BOOL, INT64, FIXED32, MESSAGE, ENUM } = FieldDescriptorProto_Type;

interface FieldOptions {
  readonly repeated?: boolean;
  /** Of a message or an enum. */
  readonly typeName?: string;
}

/** Fields by name: number, type, and what else there is. */
type Fields = Readonly<Record<string, readonly [number, FieldDescriptorProto_Type, FieldOptions?]>>;

const many = { repeated: true };
const id: Fields = { gomote_id: [1, STRING] };
const directory: Fields = { ...id, directory: [2, STRING], recursive: [3, BOOL], skip_files: [4, STRING, many], digest: [5, BOOL] };
const entries: Fields = { entries: [1, STRING, many] };

const messages: Readonly<Record<string, Fields>> = {
  Instance: { ...id, builder_type: [2, STRING], host_type: [3, STRING], expires: [4, INT64], working_dir: [5, STRING] },
  AuthenticateRequest: {},
  AuthenticateResponse: {},
  AddBootstrapRequest: id,
  AddBootstrapResponse: { bootstrap_go_url: [1, STRING] },
  CreateInstanceRequest: { builder_type: [1, STRING], experiment_option: [2, STRING, many] },
  CreateInstanceResponse: {
    instance: [1, MESSAGE, { typeName: '.protos.Instance' }],
    status: [2, ENUM, { typeName: '.protos.CreateInstanceResponse.Status' }],
    waiters_ahead: [3, INT64],
  },
  DestroyInstanceRequest: id,
  DestroyInstanceResponse: {},
  ExecuteCommandRequest: {
    ...id,
    command: [2, STRING],
    system_level: [3, BOOL],
    debug: [4, BOOL],
    append_environment: [5, STRING, many],
    path: [6, STRING, many],
    directory: [7, STRING],
    args: [8, STRING, many],
    imitate_host_type: [9, STRING],
  },
  ExecuteCommandResponse: { output: [1, BYTES] },
  InstanceAliveRequest: id,
  InstanceAliveResponse: {},
  ListDirectoryRequest: directory,
  ListDirectoryResponse: entries,
  ListInstancesRequest: {},
  ListInstancesResponse: { instances: [1, MESSAGE, { ...many, typeName: '.protos.Instance' }] },
  ListSwarmingBuildersRequest: {},
  ListSwarmingBuildersResponse: { builders: [1, STRING, many] },
  ReadTGZToURLRequest: { ...id, directory: [2, STRING] },
  ReadTGZToURLResponse: { url: [1, STRING] },
  RemoveFilesRequest: { ...id, paths: [2, STRING, many] },
  RemoveFilesResponse: {},
  SignSSHKeyRequest: { ...id, public_ssh_key: [2, BYTES] },
  SignSSHKeyResponse: { signed_public_ssh_key: [1, BYTES] },
  UploadFileRequest: {},
  UploadFileResponse: {
    url: [1, STRING],
    fields: [2, MESSAGE, { ...many, typeName: '.protos.UploadFileResponse.FieldsEntry' }],
    object_name: [3, STRING],
  },
  WriteFileFromURLRequest: { ...id, url: [2, STRING], filename: [3, STRING], mode: [4, FIXED32] },
  WriteFileFromURLResponse: {},
  WriteTGZFromURLRequest: { ...id, url: [2, STRING], directory: [3, STRING] },
  WriteTGZFromURLResponse: {},
};

/** By the name of the method; each takes `NAMERequest`, and gives `NAMEResponse` once or as a stream. */
const methods = {
  Authenticate: 'once',
  AddBootstrap: 'once',
  CreateInstance: 'stream',
  DestroyInstance: 'once',
  ExecuteCommand: 'stream',
  InstanceAlive: 'once',
  ListDirectory: 'once',
  ListDirectoryStreaming: 'stream',
  ListInstances: 'once',
  ListSwarmingBuilders: 'once',
  ReadTGZToURL: 'once',
  RemoveFiles: 'once',
  SignSSHKey: 'once',
  UploadFile: 'once',
  WriteFileFromURL: 'once',
  WriteTGZFromURL: 'once',
} as const;

type MethodName = keyof typeof methods;
type Once = { [Name in MethodName]: (typeof methods)[Name] extends 'once' ? Name : never }[MethodName];

export const instanceStatus = { unknown: 0, waiting: 1, complete: 2 } as const;

export const gomoteService: DescService = describe();

export function onceMethod(name: Once): DescMethodUnary<DescMessage, DescMessage> {
  return methodOf(name) as DescMethodUnary<DescMessage, DescMessage>;
}

export function streamMethod(name: Exclude<MethodName, Once>): DescMethodServerStreaming<DescMessage, DescMessage> {
  return methodOf(name) as DescMethodServerStreaming<DescMessage, DescMessage>;
}

function methodOf(name: string): DescService['methods'][number] {
  const method = gomoteService.methods.find((one) => one.name === name);
  if (!method) throw new Error('the method is described above');
  return method;
}

function describe(): DescService {
  const file = create(FileDescriptorProtoSchema, {
    name: 'gomote.proto',
    package: 'protos',
    syntax: 'proto3',
    messageType: Object.entries(messages).map(([name, fields]) => messageOf(name, fields)),
    service: [
      {
        name: 'GomoteService',
        method: Object.entries(methods).map(([name, answers]) => ({
          name,
          inputType: `.protos.${requestOf(name)}`,
          outputType: `.protos.${requestOf(name).replace(/Request$/, 'Response')}`,
          serverStreaming: answers === 'stream',
        })),
      },
    ],
  });
  const service = createFileRegistry(file, () => undefined).getService('protos.GomoteService');
  if (!service) throw new Error('the service is described above');
  return service;
}

/** The listing as a stream takes and gives what the one at once does. */
function requestOf(method: string): string {
  return `${method.replace(/Streaming$/, '')}Request`;
}

function messageOf(name: string, fields: Fields): DescriptorProto {
  const message = create(DescriptorProtoSchema, { name, field: Object.entries(fields).map(([field, of]) => fieldOf(field, of)) });
  if (name === 'CreateInstanceResponse') {
    const value = Object.entries(instanceStatus).map(([status, number]) => ({ name: status.toUpperCase(), number }));
    message.enumType = [create(EnumDescriptorProtoSchema, { name: 'Status', value })];
  }
  if (name === 'UploadFileResponse') {
    const entry = { name: 'FieldsEntry', options: { mapEntry: true }, field: [fieldOf('key', [1, STRING]), fieldOf('value', [2, STRING])] };
    message.nestedType = [create(DescriptorProtoSchema, entry)];
  }
  return message;
}

function fieldOf(name: string, [number, type, { repeated = false, typeName = '' } = {}]: Fields[string]): FieldDescriptorProto {
  const label = repeated ? FieldDescriptorProto_Label.REPEATED : FieldDescriptorProto_Label.OPTIONAL;
  const jsonName = name.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
  return create(FieldDescriptorProtoSchema, { name, jsonName, number, type, label, ...(typeName !== '' && { typeName }) });
}
