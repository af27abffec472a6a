/** What is needed to set something up, fetched when somebody is about to: most never do, or once. */
import './styles/set-up.css';

export { default as SetUp } from './components/SetUp.svelte';
export { default as SetUps } from './components/SetUps.svelte';
