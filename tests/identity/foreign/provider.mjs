// A certified OpenID provider (npm oidc-provider) that the identity room meets by configuration only.
//
// Reads {clients, accounts} from standard input, listens on a free loopback port, prints its issuer, and ends when its
// standard input ends. Whoever signs in is named in the form of /interaction/<id>, as on any provider's page; `mfa`
// there stands for a second factor, which is answered with acr "2".
import { createServer } from 'node:http'
import { once } from 'node:events'
import Provider from 'oidc-provider'

const lines = []
process.stdin.setEncoding('utf8')
process.stdin.on('end', () => process.exit(0))
for await (const part of process.stdin) {
  lines.push(part)
  if (part.includes('\n')) break
}
const given = JSON.parse(lines.join(''))
process.stdin.resume()

const server = createServer()
server.listen(0, '127.0.0.1')
await once(server, 'listening')
const issuer = `http://127.0.0.1:${server.address().port}${given.path ?? ''}`

const provider = new Provider(issuer, {
  clients: given.clients,
  cookies: { keys: ['only for tests on loopback'] },
  jwks: given.jwks,
  acrValues: ['1', '2'],
  claims: { openid: ['sub'], profile: ['name'], acr: null, auth_time: null, iss: null, sid: null },
  conformIdTokenClaims: false,
  features: { claimsParameter: { enabled: true }, devInteractions: { enabled: false } },
  interactions: { url: (_context, interaction) => `/interaction/${interaction.uid}` },
  pkce: { required: () => true },
  findAccount: (_context, sub) =>
    given.accounts.includes(sub)
      ? { accountId: sub, claims: () => ({ sub, name: sub, email: 'ada@lab.example', groups: ['security'] }) }
      : undefined,
  loadExistingGrant: async (context) => {
    const grant = new provider.Grant({
      clientId: context.oidc.client.clientId,
      accountId: context.oidc.session.accountId,
    })
    grant.addOIDCScope('openid profile')
    await grant.save()
    return grant
  },
})

async function interact(request, response) {
  const details = await provider.interactionDetails(request, response)
  if (request.method !== 'POST') {
    response.setHeader('content-type', 'text/html')
    const demanded = details.params.acr_values ? 'a second factor' : 'a password' // a pushed request shows here alone
    response.end(`<form method="post"><p>${details.prompt.name}</p><p>${demanded}</p></form>`)
    return
  }
  let body = ''
  for await (const part of request) body += part
  const form = new URLSearchParams(body)
  const mfa = form.get('mfa') === 'yes'
  const login = { accountId: form.get('account'), acr: mfa ? '2' : '1', amr: mfa ? ['pwd', 'otp'] : ['pwd'] }
  if (details.prompt.name === 'consent') {
    await provider.interactionFinished(request, response, { consent: {} }, { mergeWithLastSubmission: true })
    return
  }
  const answer = form.get('account') ? { login } : { error: 'access_denied', error_description: 'the person said no' }
  await provider.interactionFinished(request, response, answer)
}

const answer = provider.callback()
server.on('request', (request, response) => {
  if (!request.url.startsWith('/interaction/')) return answer(request, response)
  interact(request, response).catch((error) => response.writeHead(400).end(String(error)))
})
console.log(JSON.stringify({ issuer }))
