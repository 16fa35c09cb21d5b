// The form of a compose file: the part of https://docs.docker.com/reference/compose-file/ that reaches a container on balenaOS
// (https://docs.balena.io/reference/supervisor/docker-compose). Fields beyond it are named by compose-fields.ts.
import type { FromSchema } from 'json-schema-to-ts';

const text = { type: 'string' } as const;
const texts = { type: 'array', items: { type: ['string', 'number'] } } as const;
const textOrTexts = { type: ['string', 'array'], items: { type: ['string', 'number'] } } as const;
const textOrNumber = { type: ['string', 'number'] } as const;
const yesOrNo = { type: 'boolean' } as const;
/** `{name: value}` or `["name=value"]`. */
const mapping = {
  type: ['object', 'array', 'null'],
  additionalProperties: { type: ['string', 'number', 'null'] },
  items: { type: ['string', 'number'] },
} as const;

const port = {
  type: ['string', 'number', 'object'],
  properties: {
    target: { type: ['integer', 'string'] },
    published: { type: ['integer', 'string'] },
    host_ip: text,
    protocol: { type: 'string', enum: ['tcp', 'udp'] },
    mode: text,
    name: text,
    app_protocol: text,
  },
  required: ['target'],
  additionalProperties: false,
} as const;

const volume = {
  type: ['string', 'object'],
  properties: {
    type: { type: 'string', enum: ['volume', 'bind', 'tmpfs'] },
    source: text,
    target: text,
    read_only: yesOrNo,
    volume: { type: 'object', properties: { nocopy: yesOrNo }, additionalProperties: false },
    bind: { type: 'object', properties: { propagation: text }, additionalProperties: false },
    tmpfs: { type: 'object', properties: { size: textOrNumber }, additionalProperties: false },
  },
  required: ['type', 'target'],
  additionalProperties: false,
} as const;

const healthcheck = {
  type: 'object',
  properties: {
    test: textOrTexts,
    interval: text,
    timeout: text,
    start_period: text,
    retries: { type: ['integer', 'string'] },
    disable: yesOrNo,
  },
  additionalProperties: false,
} as const;

const network = {
  type: ['object', 'null'],
  properties: { aliases: texts, ipv4_address: text, ipv6_address: text, link_local_ips: texts },
  additionalProperties: false,
} as const;

const ulimit = {
  type: ['integer', 'object'],
  properties: { soft: { type: 'integer' }, hard: { type: 'integer' } },
  required: ['soft', 'hard'],
  additionalProperties: false,
} as const;

export const serviceForm = {
  type: 'object',
  properties: {
    build: { type: ['string', 'object'] },
    cap_add: texts,
    cap_drop: texts,
    cgroup_parent: text,
    command: { type: ['string', 'array', 'null'], items: textOrNumber },
    cpu_quota: textOrNumber,
    cpu_shares: textOrNumber,
    cpus: textOrNumber,
    cpuset: textOrNumber,
    depends_on: { type: ['array', 'object'], items: text, additionalProperties: { type: ['object', 'null'] } },
    devices: { type: 'array', items: text },
    dns: textOrTexts,
    dns_opt: texts,
    dns_search: textOrTexts,
    domainname: text,
    entrypoint: { type: ['string', 'array', 'null'], items: textOrNumber },
    environment: mapping,
    extra_hosts: mapping,
    group_add: texts,
    healthcheck,
    hostname: text,
    image: text,
    init: yesOrNo,
    ipc: text,
    labels: mapping,
    mac_address: text,
    mem_limit: textOrNumber,
    mem_reservation: textOrNumber,
    network_mode: text,
    networks: { type: ['array', 'object', 'null'], items: text, additionalProperties: network },
    oom_kill_disable: yesOrNo,
    oom_score_adj: { type: 'integer' },
    pid: text,
    pids_limit: { type: 'integer' },
    ports: { type: 'array', items: port },
    privileged: yesOrNo,
    read_only: yesOrNo,
    restart: text,
    security_opt: texts,
    shm_size: textOrNumber,
    stop_grace_period: text,
    stop_signal: textOrNumber,
    storage_opt: { type: 'object', additionalProperties: textOrNumber },
    sysctls: mapping,
    tmpfs: textOrTexts,
    tty: yesOrNo,
    ulimits: { type: 'object', additionalProperties: ulimit },
    user: textOrNumber,
    userns_mode: text,
    volumes: { type: 'array', items: volume },
    working_dir: text,
  },
} as const;

const volumeForm = {
  type: ['object', 'null'],
  properties: {
    driver: text,
    driver_opts: { type: ['object', 'null'], additionalProperties: textOrNumber },
    labels: mapping,
    name: text,
  },
} as const;

const networkForm = {
  type: ['object', 'null'],
  properties: {
    driver: text,
    driver_opts: { type: ['object', 'null'], additionalProperties: textOrNumber },
    ipam: {
      type: 'object',
      properties: {
        driver: text,
        config: {
          type: 'array',
          items: {
            type: 'object',
            properties: {
              subnet: text,
              ip_range: text,
              gateway: text,
              aux_addresses: { type: 'object', additionalProperties: text },
            },
            additionalProperties: false,
          },
        },
        options: { type: ['object', 'null'], additionalProperties: text },
      },
      additionalProperties: false,
    },
    internal: yesOrNo,
    enable_ipv6: yesOrNo,
    labels: mapping,
    config_only: yesOrNo,
    name: text,
  },
} as const;

export const composeSchema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  properties: {
    version: { type: ['string', 'number'] },
    name: text,
    services: { type: 'object', additionalProperties: serviceForm },
    volumes: { type: ['object', 'null'], additionalProperties: volumeForm },
    networks: { type: ['object', 'null'], additionalProperties: networkForm },
  },
  required: ['services'],
} as const;

export type ComposeFile = FromSchema<typeof composeSchema>;
export type ServiceForm = FromSchema<typeof serviceForm>;
export type VolumeForm = FromSchema<typeof volumeForm>;
export type NetworkForm = FromSchema<typeof networkForm>;
