import { describe, expect, it } from 'vitest';
import { appsJson, digest, images, repository, service } from './apps-fixture.ts';
import type { AppsJson } from './apps-json-schema.ts';
import { checkServiceImages, imageOfId } from './check-images.ts';

function check(image: string, present = images) {
  const { findings, unused } = checkServiceImages(
    appsJson({ services: { main: service({ image }) } }) as AppsJson,
    present,
    'apps.json',
  );
  return {
    faults: findings.map(({ severity, message, hint }) => `${severity}: ${message} | ${hint}`),
    unused: unused.map(({ id }) => id.slice(7, 8)),
  };
}

describe('the images of the services', () => {
  it.each([`${repository}@${digest('a')}`, repository, `${repository}:latest`, `${repository}:other@${digest('a')}`])(
    'finds %s',
    (image) => expect(check(image)).toEqual({ faults: [], unused: ['2', '3'] }),
  );

  it.each(['redis:7', 'docker.io/library/redis:7', 'library/redis:7', `redis@${digest('b')}`])(
    'finds %s as the engine names it',
    (image) => expect(check(image)).toEqual({ faults: [], unused: ['1', '3'] }),
  );

  it('names what is not there, and what is instead', () => {
    expect(check('redis').faults).toEqual([
      `error: the image redis:latest is not there | There is redis:7, redis@${digest('b')}; write one of these, or inject the other`,
    ]);
    expect(check('postgres:16')).toEqual({
      faults: ['error: the image postgres:16 is not there | Inject the image, or correct its name'],
      unused: ['1', '2', '3'],
    });
  });

  it('a digest that is not there: the supervisor takes the only image of the repository', () => {
    const { faults, unused } = check(`redis@${digest('c')}`);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatch(/^warning: .* whatever it holds/);
    expect(unused).toEqual(['1', '3']);
    const two = [...images, { id: digest('4'), references: ['redis:6'] }];
    expect(check(`redis@${digest('c')}`, two).faults[0]).toMatch(/^error: .*chance/);
  });

  it('an id is refused, with the name to write instead', () => {
    expect(check(digest('2'))).toEqual({
      faults: [`error: ${JSON.stringify(`${digest('2').slice(0, 40)}…`)} is not the name of an image | Write redis:7`],
      unused: ['1', '3'],
    });
  });

  it('the beginning of an id is one when it is unique', () => {
    expect(imageOfId('222222222222', images)?.id).toBe(digest('2'));
    expect(imageOfId('22222222222', images)).toBeUndefined();
    expect(
      imageOfId('222222222222', [...images, { id: `${digest('2').slice(0, 60)}00000000000`, references: [] }]),
    ).toBeUndefined();
  });
});
